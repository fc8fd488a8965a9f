// attention.pattern = auto: sparse or dense, whichever trains faster at the lengths of a run. Dense attention costs N^2 / 2 pairs of
// 14 H D flops, the scan and draw of sampled attention N^2 / 2 of 4 M: short sequences are cheaper densely, and once sparse is
// the cheaper it stays so for all longer ones. So the first batch is tried cut to short sequences, then to ones four times as
// long, until sparse wins or nothing is cut any more: no dense pass is much longer than the break-even.
#pragma once

#include <string>

#include "train/step.h"

namespace smartbird {

struct PatternChoice {
  bool dense = false;
  int64_t tokens = 0;                  // of the longest sequence at the last trial
  double sparse_ms = 0, dense_ms = 0;  // forward and backward of its first micro-step, of the slowest rank
};

// setup.model: with the layers in question sparse, none else; its gradients are left at 0. The same on all ranks. Collective.
[[nodiscard]] PatternChoice choose_pattern(const StepSetup& setup, const Corpus& corpus, const Sampler& sampler);
// "auto: dense, ..." and the times it was chosen by.
[[nodiscard]] std::string to_text(const PatternChoice& choice);

}  // namespace smartbird
