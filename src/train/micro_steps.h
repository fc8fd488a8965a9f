// A batch as packed streams: whole samples are dealt in order to replicas and micro-steps; nothing that is computed
// depends on that dealing.
#pragma once

#include "train/step.h"

namespace smartbird {

struct MicroStep {
  Layout layout;
  Stream stream;
};

// My replica's micro-steps of a batch, the same number on every replica; mask_key: of mlm.
[[nodiscard]] std::vector<MicroStep> micro_steps_of(const StepSetup& setup, const Corpus& corpus,
                                                    const std::vector<Sample>& batch, int64_t micro_tokens,
                                                    PhiloxKey mask_key);

// Targets that count, over all ranks and micro-steps: known before the first forward pass. Collective.
[[nodiscard]] double count_targets(const StepSetup& setup, const std::vector<MicroStep>& micro_steps,
                                   const std::vector<Sample>& batch);

}  // namespace smartbird
