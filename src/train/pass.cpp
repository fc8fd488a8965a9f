// The two backward passes after a forward pass.
#include "train/pass.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace smartbird {

double probe_rate(const Options& o, const std::vector<Sample>& batch) {
  if (o.sketch.probes == 0) return -1;
  int64_t blocks = 0;
  for (const Sample& sample : batch) blocks += (sample.length + o.attention.query_block - 1) / o.attention.query_block;
  return static_cast<double>(o.sketch.probes) / static_cast<double>(blocks);
}

Forward run_pass(const StepSetup& setup, const StepContext& context, const MicroStep& micro,
                 const ForwardOptions& options, double targets) {
  Forward forward;
  {
    const auto timing = context.timer.measure("forward");
    forward = setup.model.forward(context, micro.stream, options);
  }
  const auto timing = context.timer.measure("backward");
  if (forward.task_loss.requires_grad())  // not of a frozen model
    torch::autograd::backward({forward.task_loss / std::max(1.0, targets)}, {});
  if (forward.sketch_loss.defined()) torch::autograd::backward({forward.sketch_loss}, {});
  return forward;
}

}  // namespace smartbird
