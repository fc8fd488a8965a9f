// Fetching of units and the way back of their gradients.
#include "ops/units.h"

#include <torch/csrc/autograd/custom_function.h>

#include <array>

#include "kernels/row_sums.h"
#include "ops/collectives.h"
#include "ops/head_exchange.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Rows of whole tokens that follow mine in every head: a name, and who sends what.
struct Part {
  std::string what;
  const Requests& requests;
};
std::array<Part, 2> token_parts(const Plan& plan) {
  return {{{plan.exchange == ExchangePlan::All ? "rows" : "band_halo", plan.halo}, {"global_keys", plan.globals}}};
}

// The slots of units or of their gradient: [S, G, 2D].
at::Tensor slots_of(const at::Tensor& units, const Plan& plan) {
  return units.narrow(0, 0, plan.token_slots * plan.kv_heads)
      .view({plan.kv_heads, plan.token_slots, units.size(1)})
      .transpose(0, 1);
}

// A fresh tensor over the same memory: autograd functions may return it as their own.
at::Tensor same_memory(const at::Tensor& x, at::IntArrayRef shape) { return x.variable_data().view(shape); }

struct GatherUnits : Function<GatherUnits> {
  static Variable forward(AutogradContext* ctx, const Variable& kv, Communicator* group, const Plan* plan) {
    ctx->saved_data["group"] = reinterpret_cast<int64_t>(group);
    ctx->saved_data["plan"] = reinterpret_cast<int64_t>(plan);
    return ArrivingUnits(*group, kv, *plan, "").wait_for_all();
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {send_units_home(*reinterpret_cast<Communicator*>(ctx->saved_data["group"].toInt()), grads[0],
                            *reinterpret_cast<const Plan*>(ctx->saved_data["plan"].toInt())),
            {},
            {}};
  }
};

}  // namespace

ArrivingUnits::ArrivingUnits(Communicator& group, const at::Tensor& kv_in, const Plan& plan, const std::string& turn)
    : plan_(plan) {
  const at::NoGradGuard no_grad;
  const int64_t rows = kv_in.size(0), width = kv_in.size(2);
  const at::Tensor by_head = kv_in.transpose(0, 1).contiguous();  // [G, T, 2D]
  if (plan.by_heads()) {
    units_ = units_to_heads(group, std::string("head_rows") + turn, by_head, plan).view({plan.num_units, width});
    all_there_ = true;
    return;
  }
  const at::Tensor kv = by_head.transpose(0, 1), flat = same_memory(by_head, {rows * plan.kv_heads, width});
  const int64_t slots = plan.token_slots * plan.kv_heads, singles = plan.rows.num_received();
  const bool mine_only = plan.num_units == rows * plan.kv_heads;
  units_ = mine_only ? flat : at::empty({plan.num_units, width}, flat.options());
  for (const Part& part : token_parts(plan))
    tokens_.push_back(start(group, part.what + turn, kv, part.requests,
                            at::empty({part.requests.num_received(), plan.kv_heads, width}, flat.options())));
  singles_ = start(group, "rows" + turn, flat, plan.rows, units_.narrow(0, slots, singles));
  if (!mine_only) slots_of(units_, plan).narrow(0, 0, rows).copy_(kv);
  if (!plan.overlap || make_progress()) wait_for_all();
}

ArrivingUnits::Flight ArrivingUnits::start(Communicator& group, const std::string& what, const at::Tensor& from,
                                           const Requests& requests, at::Tensor receive) {
  Flight out{from.index_select(0, requests.send_index), std::move(receive), {}};
  out.pending = start_exchange(group, what, out.send, requests.send_rows, out.receive, requests.recv_rows);
  return out;
}

bool ArrivingUnits::make_progress() {
  for (Flight& part : tokens_)
    if (!part.pending.arrived()) return false;
  return singles_.pending.arrived();
}

void ArrivingUnits::wait_for_tokens() {
  const at::NoGradGuard no_grad;
  int64_t first = plan_.own_rows;
  for (Flight& part : tokens_) {
    part.pending.wait();
    const int64_t count = part.receive.size(0);
    if (count > 0) slots_of(units_, plan_).narrow(0, first, count).copy_(part.receive);
    first += count;
  }
  tokens_.clear();
}

const at::Tensor& ArrivingUnits::wait_for_all() {
  wait_for_tokens();
  singles_.pending.wait();
  singles_ = {};
  all_there_ = true;
  return units_;
}

at::Tensor send_units_home(Communicator& group, const at::Tensor& grad_units, const Plan& plan) {
  const at::NoGradGuard no_grad;
  const at::Tensor grad = grad_units.contiguous();
  const int64_t rows = plan.num_rows, heads = plan.kv_heads, width = grad.size(1);
  if (plan.by_heads())
    return units_to_rows(group, "head_rows_backward", grad.view({heads, rows, width}), plan).transpose(0, 1);
  const at::Tensor slots = slots_of(grad, plan);
  const bool sends = plan.rows.send_index.size(0) + plan.halo.send_index.size(0) + plan.globals.send_index.size(0) > 0;
  // The gradient that came in is not ours to write on.
  const bool whole = plan.num_units == rows * heads && !sends;
  at::Tensor home = whole ? same_memory(grad, {heads, rows, width})
                          : slots.narrow(0, 0, rows).transpose(0, 1).clone(at::MemoryFormat::Contiguous);
  const auto back = [&](const std::string& what, const at::Tensor& from, const Requests& requests) {
    return all_to_all_rows(group, (what + "_backward").c_str(), from.contiguous(), requests.recv_rows,
                           requests.send_rows);
  };
  const auto add = [&](const at::Tensor& received, const Requests& requests, at::Tensor to) {
    with_float_type(grad, [&](auto t) {
      using T = decltype(t);
      kernels::add_rows_by_index<T>(requests.send_index.const_data_ptr<int64_t>(), received.const_data_ptr<T>(),
                                    received.size(0), width, received.size(0) > 0 ? to.mutable_data_ptr<T>() : nullptr);
    });
  };
  int64_t first = rows;
  for (const Part& part : token_parts(plan)) {
    const int64_t count = part.requests.num_received();
    const at::Tensor received =
        back(part.what, slots.narrow(0, first, count), part.requests).transpose(0, 1).contiguous();  // [G, n, 2D]
    for (int64_t g = 0; g < heads; ++g) add(received.select(0, g), part.requests, home.select(0, g));
    first += count;
  }
  const int64_t singles = plan.rows.num_received();
  add(back("rows", grad.narrow(0, plan.token_slots * heads, singles), plan.rows), plan.rows, home.view({-1, width}));
  return home.transpose(0, 1);
}

at::Tensor gather_units(const StepContext& context, const at::Tensor& kv, const Plan& plan) {
  SB_CHECK(kv.dim() == 3 && kv.size(0) == plan.own_rows && kv.size(1) == plan.own_kv_heads, Shape,
           "gather_units: kv has shape ", kv.sizes(), ", expected [", plan.own_rows, ", ", plan.own_kv_heads,
           ", 2D] (T, G, 2D)");
  return GatherUnits::apply(kv, &context.group(), &plan);
}

}  // namespace smartbird
