// The autograd functions around kernels/sparse_attention.h: over units that are kept, or that are fetched again.
#include "ops/sparse_attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <vector>

#include "ops/device_attention.h"
#include "ops/device_tensors.h"
#include "ops/head_exchange.h"
#include "ops/kernel_input.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

using Attended = DeviceAttended;
using AttentionGrads = DeviceAttentionGrads;

// The kernel's input and output of one forward pass.
template <class T>
struct ForwardPass {
  kernels::AttentionInput<T> in;
  T *m, *l, *acc, *lse;

  // Adds the band of rows [first, last).
  void add_band(int64_t first, int64_t last) {
    kernels::AttentionInput<T> part = in;
    part.rows = last - first, part.q += first * in.heads * in.width;
    part.band_begin += first, part.band_end += first, part.row_block += first;
    kernels::attention_band<T>(part, m + first * in.heads, l + first * in.heads, acc + first * in.heads * in.width);
  }
  void begin() { kernels::attention_begin<T>(in.rows, in.heads, in.width, m, l, acc); }
  void finish() {
    if (in.pick_heads > 0) kernels::attention_picks<T>(in, m, l, acc);
    kernels::attention_finish<T>(in.rows, in.heads, in.width, m, l, acc, acc, lse);
  }
};

// Body(pass) with tensors for the answer; the pass writes them.
template <class Body>
Attended forward_with(const at::Tensor& q, const at::Tensor& units, const Plan& plan, Body body) {
  at::Tensor o = at::empty_like(q), lse = at::empty({q.size(0), q.size(1)}, q.options());
  at::Tensor m = at::empty_like(lse), l = at::empty_like(lse);
  with_float_type(q, [&](auto t) {
    using T = decltype(t);
    ForwardPass<T> pass{kernel_input<T>(q, units, plan), m.mutable_data_ptr<T>(), l.mutable_data_ptr<T>(),
                        o.mutable_data_ptr<T>(), lse.mutable_data_ptr<T>()};
    pass.begin();
    body(pass);
    pass.finish();
  });
  return {o, lse};
}

Attended forward_of(const at::Tensor& q, const at::Tensor& units, const Plan& plan) {
  if (on_device(q)) return device_attention(q, units, plan, device_lists(plan, q.options()));
  return forward_with(q, units, plan, [&](auto& pass) { pass.add_band(0, pass.in.rows); });
}

// Whether the bands of rows [first, last) may read rows of other ranks.
bool reads_others(const Plan& plan, int64_t first, int64_t last) {
  const auto slot = plan.token_slot.begin();
  return std::any_of(slot + plan.band_begin[static_cast<size_t>(first)],
                     slot + plan.band_end[static_cast<size_t>(last - 1)],
                     [&](int32_t s) { return s >= plan.own_rows; });
}

// The same while units arrive: bands of my own rows first, then those that reach into other ranks' rows, then picks.
Attended forward_of(const at::Tensor& q, ArrivingUnits& arriving, const Plan& plan) {
  if (arriving.all_there() || on_device(q)) return forward_of(q, arriving.wait_for_all(), plan);
  constexpr int64_t kPieces = 8, kLeastRows = 256;  // between two of them messages make progress
  const int64_t size = std::max(kLeastRows, (plan.num_rows + kPieces - 1) / kPieces);
  return forward_with(q, arriving.units(), plan, [&](auto& pass) {
    std::vector<int64_t> later;
    for (int64_t first = 0; first < plan.num_rows; first += size) {
      const int64_t last = std::min(first + size, plan.num_rows);
      if (reads_others(plan, first, last)) {
        later.push_back(first);
        continue;
      }
      pass.add_band(first, last);
      arriving.make_progress();
    }
    arriving.wait_for_tokens();
    for (int64_t first : later) {
      pass.add_band(first, std::min(first + size, plan.num_rows));
      arriving.make_progress();
    }
    arriving.wait_for_all();
  });
}

// body(input, o, lse, grad_o, grad_q, grad_units) for one of the kernels' backward passes.
template <class Body>
AttentionGrads backward_with(const at::Tensor& q, const at::Tensor& units, const Attended& out,
                             const at::Tensor& grad_o, const Plan& plan, Body body) {
  const at::Tensor grad = grad_o.contiguous();
  AttentionGrads grads{at::empty_like(q), at::empty(units.sizes(), q.options())};
  with_float_type(q, [&](auto t) {
    using T = decltype(t);
    body(kernel_input<T>(q, units, plan), out.o.const_data_ptr<T>(), out.lse.const_data_ptr<T>(),
         grad.const_data_ptr<T>(), grads.q.mutable_data_ptr<T>(), grads.units.mutable_data_ptr<T>(), grads.units);
  });
  return grads;
}

AttentionGrads backward_of(const at::Tensor& q, const at::Tensor& units, const Attended& out, const at::Tensor& grad_o,
                           const Plan& plan) {
  if (on_device(q)) return device_attention_gradient(q, units, out, grad_o, plan, device_lists(plan, q.options()));
  return backward_with(q, units, out, grad_o, plan,
                       [](const auto& in, auto* o, auto* lse, auto* grad, auto* to_q, auto* to_units, const auto&) {
                         kernels::attention_backward(in, o, lse, grad, to_q, to_units);
                       });
}

// The same, and the gradient of kv: what belongs to picked rows of other ranks leaves while the band follows.
variable_list backward_home(KvTravel& travel, const at::Tensor& q, const at::Tensor& units, const Attended& out,
                            const at::Tensor& grad_o) {
  const Plan& plan = travel.plan();
  std::unique_ptr<LeavingGradients> leaving;
  if (on_device(q)) {
    const AttentionGrads grads = backward_of(q, units, out, grad_o, plan);
    leaving = travel.leaving(grads.units);
    leaving->send_singles(), leaving->send_tokens();
    return {grads.q, travel.leave(std::move(leaving))};
  }
  std::exception_ptr failed;
  const auto progress = [&]() noexcept {
    try {
      if (!failed) leaving->make_progress();
    } catch (...) {
      failed = std::current_exception();
    }
  };
  const auto whole = [&](const auto& in, auto* o, auto* lse, auto* grad, auto* to_q, auto* to_units,
                         const at::Tensor& grad_units) {
    kernels::attention_backward(in, o, lse, grad, to_q, to_units);
    leaving = travel.leaving(grad_units);
    leaving->send_singles();
  };
  const auto singles_first = [&](const auto& in, auto* o, auto* lse, auto* grad, auto* to_q, auto* to_units,
                                 const at::Tensor& grad_units) {
    kernels::attention_backward_picks(in, o, lse, grad, to_q, to_units);
    leaving = travel.leaving(grad_units);
    leaving->send_singles();
    kernels::attention_backward_band(in, o, lse, grad, to_q, to_units, progress);
  };
  // Also where nothing shall overlap: the bits are those of the two passes.
  const AttentionGrads grads = plan.rows.num_received() == 0
                                   ? backward_with(q, units, out, grad_o, plan, whole)
                                   : backward_with(q, units, out, grad_o, plan, singles_first);
  if (failed) std::rethrow_exception(failed);
  leaving->send_tokens();
  return {grads.q, travel.leave(std::move(leaving))};
}

struct SparseAttention : Function<SparseAttention> {
  static Variable forward(AutogradContext* ctx, const Variable& q_in, const Variable& units_in, const Plan* plan) {
    const at::Tensor q = q_in.contiguous(), units = units_in.contiguous();
    const Attended out = forward_of(q, units, *plan);
    ctx->save_for_backward({q, units, out.o, out.lse});
    ctx->saved_data["plan"] = reinterpret_cast<int64_t>(plan);
    return out.o;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Plan& plan = *reinterpret_cast<const Plan*>(ctx->saved_data["plan"].toInt());
    const AttentionGrads out = backward_of(saved[0], saved[1], {saved[2], saved[3]}, grads[0], plan);
    return {out.q, out.units, {}};
  }
};

// Over kv itself: keeps the units or what they were fetched from.
struct FetchingAttention : Function<FetchingAttention> {
  static Variable forward(AutogradContext* ctx, const Variable& q_in, const Variable& kv, const KvTravelPtr& travel) {
    const at::Tensor q = q_in.contiguous();
    travel->depart(kv);
    const KvTravel::Departed departed = travel->take();
    const Attended out = forward_of(q, *departed.units, travel->plan());
    const bool keep = travel->storage().rows == FetchedRows::Keep;
    ctx->save_for_backward({q, keep ? departed.units->units() : departed.sent, out.o, out.lse});
    ctx->saved_data["travel"] = c10::IValue::make_capsule(travel);
    return out.o;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto held = ctx->saved_data["travel"].toCapsule();
    auto& travel = static_cast<KvTravel&>(*held);
    const at::Tensor units = travel.storage().rows == FetchedRows::Keep ? saved[1] : travel.fetch_again(saved[1]);
    const variable_list out = backward_home(travel, saved[0], units, {saved[2], saved[3]}, grads[0]);
    return {out[0], out[1], {}};
  }
};

}  // namespace

at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& units, const Plan& plan) {
  SB_CHECK(q.dim() == 3 && q.size(0) == plan.num_rows && q.size(1) == plan.heads, Shape,
           "sparse_attention: q has shape ", q.sizes(), ", expected [", plan.num_rows, ", ", plan.heads,
           ", D] (T, H, D)");
  SB_CHECK(units.dim() == 2 && units.size(0) == plan.num_units && units.size(1) == 2 * q.size(2), Shape,
           "sparse_attention: units have shape ", units.sizes(), ", expected [", plan.num_units, ", ", 2 * q.size(2),
           "] (U, 2D)");
  return SparseAttention::apply(q, units, &plan);
}

// Of the rows and heads that the plan gives to this rank.
static at::Tensor attend_here(const StepContext& context, const at::Tensor& q, const at::Tensor& kv,
                              const KvTravelPtr& travel) {
  const Plan& plan = travel->plan();
  SB_CHECK(q.dim() == 3 && q.size(0) == plan.num_rows && q.size(1) == plan.heads && kv.dim() == 3 &&
               kv.size(0) == plan.own_rows && kv.size(1) == plan.own_kv_heads && kv.size(2) == 2 * q.size(2),
           Shape, "attend: q ", q.sizes(), ", kv ", kv.sizes(), ", expected [", plan.num_rows, ", ", plan.heads,
           ", D], [", plan.own_rows, ", ", plan.own_kv_heads, ", 2D] (T, H, D), (T, G, 2D)");
  const auto timing = context.timer.measure("attention");
  return FetchingAttention::apply(q, kv, travel);
}

at::Tensor attend(const StepContext& context, const at::Tensor& q, const at::Tensor& kv, const KvTravelPtr& travel) {
  const Plan& plan = travel->plan();
  if (!plan.by_heads()) return attend_here(context, q, kv, travel);
  const auto moved = [&](auto move, const char* what, const at::Tensor& x) {
    const auto timing = context.timer.measure("exchange");
    return move(context.tensors(), what, x, plan);
  };
  const at::Tensor o = attend_here(context, moved(rows_to_heads, "head_queries", q), kv, travel);
  return moved(heads_to_rows, "head_outputs", o);
}

at::Tensor attend(const StepContext& context, const at::Tensor& q, const at::Tensor& kv, const Plan& plan,
                  KvStorage storage) {
  return attend(context, q, kv, c10::make_intrusive<KvTravel>(context.tensors(), plan, storage));
}

}  // namespace smartbird
