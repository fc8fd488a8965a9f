// One micro-step forward and back: what a training step does with each of its streams.
#pragma once

#include <vector>

#include "train/micro_steps.h"

namespace smartbird {

// Probability of a query block of the batch to be a probe, so that sketch.probes of them are expected; < 0 = no probes.
[[nodiscard]] double probe_rate(const Options& options, const std::vector<Sample>& batch);

// Adds the gradients of the task loss, a sum over rows divided by `targets`, and of the sketch loss, a sum, to those of the
// parameters; times go to the stages "forward" and "backward" of the context. Collective.
[[nodiscard]] Forward run_pass(const StepSetup& setup, const StepContext& context, const MicroStep& micro,
                               const ForwardOptions& options, double targets);

}  // namespace smartbird
