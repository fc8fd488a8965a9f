// Fetching of units and the way back of their gradients.
#include "ops/units.h"

#include <torch/csrc/autograd/custom_function.h>

#include <array>

#include "kernels/row_sums.h"
#include "ops/collectives.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// What follows the own units: a name, who sends what, and the units a row stands for.
struct Part {
  const char* what;
  const Requests& requests;
  int64_t units;
};
std::array<Part, 3> parts_of(const Plan& plan) {
  return {{{plan.fetch_all ? "rows" : "band_halo", plan.halo, plan.kv_heads},
           {"global_keys", plan.globals, plan.kv_heads},
           {"rows", plan.rows, 1}}};
}

// A fresh tensor over the same memory: autograd functions may return it as their own.
at::Tensor same_memory(const at::Tensor& x, at::IntArrayRef shape) { return x.variable_data().view(shape); }

struct GatherUnits : Function<GatherUnits> {
  static Variable forward(AutogradContext* ctx, const Variable& kv, Communicator* group, const Plan* plan) {
    ctx->saved_data["group"] = reinterpret_cast<int64_t>(group);
    ctx->saved_data["plan"] = reinterpret_cast<int64_t>(plan);
    return bring_units(*group, kv, *plan, "");
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {send_units_home(*reinterpret_cast<Communicator*>(ctx->saved_data["group"].toInt()), grads[0],
                            *reinterpret_cast<const Plan*>(ctx->saved_data["plan"].toInt())),
            {},
            {}};
  }
};

}  // namespace

at::Tensor bring_units(Communicator& group, const at::Tensor& kv_in, const Plan& plan, const char* turn) {
  const at::NoGradGuard no_grad;
  const at::Tensor kv = kv_in.contiguous();
  const int64_t width = kv.size(2);
  std::vector<at::Tensor> all{same_memory(kv, {kv.size(0) * kv.size(1), width})};
  int64_t received = 0;
  for (const Part& part : parts_of(plan)) {
    const at::Tensor from = part.units == 1 ? all.front() : kv;
    all.push_back(fetch_rows(group, (std::string(part.what) + turn).c_str(), from, part.requests).view({-1, width}));
    received += all.back().size(0);
  }
  return received == 0 ? all.front() : at::cat(all, 0);
}

at::Tensor send_units_home(Communicator& group, const at::Tensor& grad_units, const Plan& plan) {
  const at::NoGradGuard no_grad;
  const at::Tensor grad = grad_units.contiguous();
  const int64_t own = plan.num_rows * plan.kv_heads, width = grad.size(1);
  int64_t sent = 0, first = own;
  for (const Part& part : parts_of(plan)) sent += part.requests.send_index.size(0);
  at::Tensor home = same_memory(grad.narrow(0, 0, own), {plan.num_rows, plan.kv_heads, width});
  if (sent > 0) home = home.clone();  // the gradient that came in is not ours to write on
  for (const Part& part : parts_of(plan)) {
    const int64_t count = part.requests.num_received() * part.units, row = width * part.units;
    const at::Tensor back = all_to_all_rows(group, (std::string(part.what) + "_backward").c_str(),
                                            grad.narrow(0, first, count).view({part.requests.num_received(), row}),
                                            part.requests.recv_rows, part.requests.send_rows);
    first += count;
    with_float_type(grad, [&](auto t) {
      using T = decltype(t);
      kernels::add_rows_by_index<T>(part.requests.send_index.const_data_ptr<int64_t>(), back.const_data_ptr<T>(),
                                    back.size(0), row, sent > 0 ? home.mutable_data_ptr<T>() : nullptr);
    });
  }
  return home;
}

at::Tensor gather_units(const StepContext& context, const at::Tensor& kv, const Plan& plan) {
  SB_CHECK(kv.dim() == 3 && kv.size(0) == plan.num_rows && kv.size(1) == plan.kv_heads, Shape,
           "gather_units: kv has shape ", kv.sizes(), ", expected [", plan.num_rows, ", ", plan.kv_heads,
           ", 2D] (T, G, 2D)");
  return GatherUnits::apply(kv, &context.group(), &plan);
}

}  // namespace smartbird
