// The sketch's loss on the probes: forward and the gradient at the scores, formed in one pass.
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "model/probe.h"
#include "ops/collectives.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// A sum whose gradients are already known.
struct KnownGradients : Function<KnownGradients> {
  static Variable forward(AutogradContext* ctx, const Variable&, const Variable&, const Variable&, at::Tensor value,
                          at::Tensor grad_queries, at::Tensor grad_keys, at::Tensor grad_temperature) {
    ctx->save_for_backward({grad_queries, grad_keys, grad_temperature});
    return value.clone();
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {saved[0] * grads[0], saved[1] * grads[0], saved[2] * grads[0], {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor Probes::loss(const StepContext& context, const SketchOutput& sketch) {
  const at::Tensor queries_all = all_gather_rows(context.tensors(), "probe_sketch_queries",
                                                 sketch.queries.index_select(0, my_blocks_), probes_by_rank_);
  const at::NoGradGuard no_grad;
  const at::Tensor queries = queries_all.detach(), keys = sketch.keys.detach(), tau = sketch.temperature.detach();
  const double root = std::sqrt(static_cast<double>(keys.size(1)));
  const int64_t count = static_cast<int64_t>(probes_.size());
  const double none = -std::numeric_limits<double>::infinity();
  std::vector<at::Tensor> dots(probes_.size()), in(probes_.size());
  at::Tensor largest = at::full({count}, none, keys.options()), sums = at::zeros({2, count}, keys.options());
  for (int64_t p = 0; p < count; ++p) {
    Probe& probe = probes_[static_cast<size_t>(p)];
    const int64_t mine = probe.key_end - probe.key_begin;
    if (!probe.target.defined()) probe.target = at::zeros({mine}, keys.options());
    dots[static_cast<size_t>(p)] = at::mv(keys.narrow(0, probe.key_begin, mine), queries[p]) / root;
    in[static_cast<size_t>(p)] = (dots[static_cast<size_t>(p)] * tau).masked_fill(probe.learned.logical_not(), none);
    if (mine > 0) largest[p] = in[static_cast<size_t>(p)].max();
  }
  all_reduce_(context.tensors(), "probe_sums", largest, ReduceOp::Max);
  largest.masked_fill_(largest == none, 0);
  for (int64_t p = 0; p < count; ++p) {
    sums[0][p] = (in[static_cast<size_t>(p)] - largest[p]).exp().sum();
    sums[1][p] = probes_[static_cast<size_t>(p)].target.sum();
  }
  all_reduce_(context.tensors(), "probe_sums", sums, ReduceOp::Sum);
  const at::Tensor sums_here = sums.select(0, 0).to(at::kCPU, at::kDouble);
  at::Tensor value = at::zeros({}, keys.options()), grad_queries = at::zeros_like(queries),
             grad_keys = at::zeros_like(keys), grad_tau = at::zeros_like(tau);
  for (int64_t p = 0; p < count; ++p) {
    const Probe& probe = probes_[static_cast<size_t>(p)];
    const at::Tensor &a = probe.target, total = sums[1][p];
    if (sums_here.const_data_ptr<double>()[p] <= 0) continue;  // an empty target: no pair, no loss
    const at::Tensor log_p = in[static_cast<size_t>(p)] - largest[p] - sums[0][p].log();
    value += at::where(a > 0, a * ((a / total).log() - log_p), at::zeros_like(a)).sum();
    const at::Tensor grad = total * log_p.exp() - a;  // at the scores τ·dot
    const at::Tensor mine = keys.narrow(0, probe.key_begin, a.size(0));
    grad_queries[p] = at::mv(mine.t(), grad) * (tau[0] / root);
    grad_keys.narrow(0, probe.key_begin, a.size(0)).add_(at::outer(grad, queries[p]) * (tau[0] / root));
    grad_tau += at::dot(grad, dots[static_cast<size_t>(p)]);
  }
  const at::AutoGradMode with_grad(true);
  return KnownGradients::apply(queries_all, sketch.keys, sketch.temperature, value, grad_queries, grad_keys, grad_tau);
}

}  // namespace smartbird
