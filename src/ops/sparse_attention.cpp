// The autograd functions around kernels/sparse_attention.h: over units that are kept, or that are fetched again.
#include "ops/sparse_attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include "ops/head_exchange.h"
#include "ops/kernel_input.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct Attended {
  at::Tensor o, lse;
};

Attended forward_of(const at::Tensor& q, const at::Tensor& units, const Plan& plan) {
  at::Tensor o = at::empty_like(q), lse = at::empty({q.size(0), q.size(1)}, q.options());
  at::Tensor m = at::empty_like(lse), l = at::empty_like(lse);
  with_float_type(q, [&](auto t) {
    using T = decltype(t);
    const auto in = kernel_input<T>(q, units, plan);
    T *mp = m.mutable_data_ptr<T>(), *lp = l.mutable_data_ptr<T>(), *op = o.mutable_data_ptr<T>();
    kernels::attention_begin<T>(in.rows, in.heads, in.width, mp, lp, op);
    kernels::attention_band<T>(in, mp, lp, op);
    if (in.pick_heads > 0) kernels::attention_picks<T>(in, mp, lp, op);
    kernels::attention_finish<T>(in.rows, in.heads, in.width, mp, lp, op, op, lse.mutable_data_ptr<T>());
  });
  return {o, lse};
}

struct AttentionGrads {
  at::Tensor q, units;
};

AttentionGrads backward_of(const at::Tensor& q, const at::Tensor& units, const Attended& out, const at::Tensor& grad_o,
                           const Plan& plan) {
  const at::Tensor grad = grad_o.contiguous();
  AttentionGrads grads{at::empty_like(q), at::empty(units.sizes(), q.options())};
  with_float_type(q, [&](auto t) {
    using T = decltype(t);
    kernels::attention_backward<T>(kernel_input<T>(q, units, plan), out.o.const_data_ptr<T>(),
                                   out.lse.const_data_ptr<T>(), grad.const_data_ptr<T>(), grads.q.mutable_data_ptr<T>(),
                                   grads.units.mutable_data_ptr<T>());
  });
  return grads;
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
  static Variable forward(AutogradContext* ctx, const Variable& q_in, const Variable& kv_in, Communicator* group,
                          const Plan* plan, KvStorage storage) {
    const at::Tensor q = q_in.contiguous(), kv = storage.bfloat16 ? kv_in.to(at::kBFloat16) : kv_in;
    const at::Tensor units = bring_units(*group, kv, *plan, "");
    const Attended out = forward_of(q, units, *plan);
    const bool keep = storage.rows == FetchedRows::Keep;
    ctx->save_for_backward({q, keep ? units : kv, out.o, out.lse});
    ctx->saved_data["keep"] = keep;
    ctx->saved_data["group"] = reinterpret_cast<int64_t>(group);
    ctx->saved_data["plan"] = reinterpret_cast<int64_t>(plan);
    return out.o;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    Communicator& group = *reinterpret_cast<Communicator*>(ctx->saved_data["group"].toInt());
    const Plan& plan = *reinterpret_cast<const Plan*>(ctx->saved_data["plan"].toInt());
    const at::Tensor units = ctx->saved_data["keep"].toBool() ? saved[1] : bring_units(group, saved[1], plan, "_again");
    const AttentionGrads out = backward_of(saved[0], units, {saved[2], saved[3]}, grads[0], plan);
    return {out.q, send_units_home(group, out.units, plan), {}, {}, {}};
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
static at::Tensor attend_here(const StepContext& context, const at::Tensor& q, const at::Tensor& kv, const Plan& plan,
                              KvStorage storage) {
  if (storage.rows == FetchedRows::Keep && !storage.bfloat16) {
    at::Tensor units;
    {
      const auto timing = context.timer.measure("exchange");
      units = gather_units(context, kv, plan);
    }
    const auto timing = context.timer.measure("attention");
    return sparse_attention(q, units, plan);
  }
  SB_CHECK(q.dim() == 3 && q.size(0) == plan.num_rows && q.size(1) == plan.heads && kv.dim() == 3 &&
               kv.size(0) == plan.own_rows && kv.size(1) == plan.own_kv_heads && kv.size(2) == 2 * q.size(2),
           Shape, "attend: q ", q.sizes(), ", kv ", kv.sizes(), ", expected [", plan.num_rows, ", ", plan.heads,
           ", D], [", plan.own_rows, ", ", plan.own_kv_heads, ", 2D] (T, H, D), (T, G, 2D)");
  const auto timing = context.timer.measure("attention");
  return FetchingAttention::apply(q, kv, &context.group(), &plan, storage);
}

at::Tensor attend(const StepContext& context, const at::Tensor& q, const at::Tensor& kv, const Plan& plan,
                  KvStorage storage) {
  if (!plan.by_heads()) return attend_here(context, q, kv, plan, storage);
  const auto moved = [&](auto move, const char* what, const at::Tensor& x) {
    const auto timing = context.timer.measure("exchange");
    return move(context.group(), what, x, plan);
  };
  const at::Tensor o = attend_here(context, moved(rows_to_heads, "head_queries", q), kv, plan, storage);
  return moved(heads_to_rows, "head_outputs", o);
}

}  // namespace smartbird
