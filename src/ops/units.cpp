// Fetching of units and the way back of their gradients.
#include "ops/units.h"

#include <torch/csrc/autograd/custom_function.h>

#include <array>

#include "kernels/row_sums.h"
#include "ops/collectives.h"
#include "ops/device_tensors.h"
#include "ops/head_exchange.h"
#include "ops/products.h"
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

RowsInFlight start(Communicator& group, const std::string& what, at::Tensor send, const std::vector<int64_t>& send_rows,
                   at::Tensor receive, const std::vector<int64_t>& recv_rows) {
  RowsInFlight out{std::move(send), std::move(receive), {}};
  out.pending = start_exchange(group, what, out.send, send_rows, out.receive, recv_rows);
  return out;
}

RowsInFlight fetch(Communicator& group, const std::string& what, const at::Tensor& from, const Requests& requests,
                   at::Tensor receive) {
  return start(group, what, from.index_select(0, requests.send_index), requests.send_rows, std::move(receive),
               requests.recv_rows);
}

// A fresh tensor over the same memory: autograd functions may return it as their own.
at::Tensor same_memory(const at::Tensor& x, at::IntArrayRef shape) { return x.variable_data().view(shape); }

// Whether gradients of other ranks will come.
bool adds(const Plan& plan) { return plan.rows.num_sent() + plan.halo.num_sent() + plan.globals.num_sent() > 0; }

// [G, T, 2D] of the gradient of units: a copy where something will be added, since what came in is not ours to write on.
at::Tensor own_rows(const at::Tensor& grad, const Plan& plan) {
  const int64_t rows = plan.num_rows, heads = plan.kv_heads;
  if (plan.num_units == rows * heads && !adds(plan)) return same_memory(grad, {heads, rows, grad.size(1)});
  return slots_of(grad, plan).narrow(0, 0, rows).transpose(0, 1).clone(at::MemoryFormat::Contiguous);
}

// to[row] += received, for the rows that each rank was sent; of one rank they differ, so that sums have a fixed order.
void add_rows(at::Tensor to, const Requests& requests, const at::Tensor& received) {
  int64_t first = 0;
  for (const int64_t rows : requests.send_rows) {
    if (rows > 0) to.index_add_(0, requests.send_index.narrow(0, first, rows), received.narrow(0, first, rows));
    first += rows;
  }
}

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
    tokens_.push_back(fetch(group, part.what + turn, kv, part.requests,
                            at::empty({part.requests.num_received(), plan.kv_heads, width}, flat.options())));
  singles_ = fetch(group, "rows" + turn, flat, plan.rows, units_.narrow(0, slots, singles));
  if (!mine_only) slots_of(units_, plan).narrow(0, 0, rows).copy_(kv);
  if (!plan.overlap || make_progress()) wait_for_all();
}

bool ArrivingUnits::make_progress() {
  for (RowsInFlight& part : tokens_)
    if (!part.pending.arrived()) return false;
  return singles_.pending.arrived();
}

void ArrivingUnits::wait_for_tokens() {
  const at::NoGradGuard no_grad;
  int64_t first = plan_.own_rows;
  for (RowsInFlight& part : tokens_) {
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

LeavingGradients::LeavingGradients(Communicator& group, const Plan& plan, const at::Tensor& grad_units)
    : group_(group), plan_(plan), grad_(grad_units.contiguous()) {}

RowsInFlight LeavingGradients::send(const std::string& what, const at::Tensor& from, const Requests& requests) {
  std::vector<int64_t> shape = from.sizes().vec();
  shape[0] = requests.num_sent();
  return start(group_, what + "_backward", from.contiguous(), requests.recv_rows, at::empty(shape, from.options()),
               requests.send_rows);
}

void LeavingGradients::send_singles() {
  const at::NoGradGuard no_grad;
  if (plan_.by_heads()) return;
  const int64_t slots = plan_.token_slots * plan_.kv_heads;
  singles_ = send("rows", grad_.narrow(0, slots, plan_.rows.num_received()), plan_.rows);
  if (!plan_.overlap) singles_.pending.wait();
}

void LeavingGradients::send_tokens() {
  const at::NoGradGuard no_grad;
  if (plan_.by_heads()) return;
  home_ = own_rows(grad_, plan_);
  int64_t first = plan_.num_rows;
  for (const Part& part : token_parts(plan_)) {
    const int64_t count = part.requests.num_received();
    tokens_.push_back(send(part.what, slots_of(grad_, plan_).narrow(0, first, count), part.requests));
    first += count;
  }
}

void LeavingGradients::make_progress() {
  if (!singles_.pending.arrived()) return;
  for (RowsInFlight& part : tokens_)
    if (!part.pending.arrived()) return;
}

at::Tensor LeavingGradients::finish() {
  const at::NoGradGuard no_grad;
  const int64_t heads = plan_.kv_heads, width = grad_.size(1);
  if (plan_.by_heads())
    return units_to_rows(group_, "head_rows_backward", grad_.view({heads, plan_.num_rows, width}), plan_)
        .transpose(0, 1);
  singles_.pending.wait();
  const at::Tensor sum = adds(plan_) ? widened(home_) : home_;
  const auto add = [&](const at::Tensor& received, const Requests& requests, at::Tensor to) {
    if (on_device(grad_)) return add_rows(to, requests, widened(received));
    with_float_type(grad_, [&](auto t) {
      using T = decltype(t);
      kernels::add_rows_by_index<T>(requests.send_index.const_data_ptr<int64_t>(), received.const_data_ptr<T>(),
                                    received.size(0), width, received.size(0) > 0 ? to.mutable_data_ptr<T>() : nullptr);
    });
  };
  const auto parts = token_parts(plan_);
  for (size_t i = 0; i < parts.size(); ++i) {
    tokens_[i].pending.wait();
    const at::Tensor by_head = tokens_[i].receive.transpose(0, 1).contiguous();  // [G, n, 2D]
    for (int64_t g = 0; g < heads; ++g) add(by_head.select(0, g), parts[i].requests, sum.select(0, g));
  }
  add(singles_.receive, plan_.rows, sum.view({-1, width}));
  if (!sum.is_same(home_)) home_.copy_(sum);
  return home();
}

at::Tensor send_units_home(Communicator& group, const at::Tensor& grad_units, const Plan& plan) {
  LeavingGradients leaving(group, plan, grad_units);
  leaving.send_singles();
  leaving.send_tokens();
  return leaving.finish();
}

at::Tensor gather_units(const StepContext& context, const at::Tensor& kv, const Plan& plan) {
  SB_CHECK(kv.dim() == 3 && kv.size(0) == plan.own_rows && kv.size(1) == plan.own_kv_heads, Shape,
           "gather_units: kv has shape ", kv.sizes(), ", expected [", plan.own_rows, ", ", plan.own_kv_heads,
           ", 2D] (T, G, 2D)");
  return GatherUnits::apply(kv, &context.tensors(), &plan);
}

}  // namespace smartbird
