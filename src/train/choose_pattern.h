// attention.pattern = auto: sparse or dense, whichever trains faster at the lengths of a run. Of a sequence of N tokens a
// dense layer touches N^2 pairs of a row and a key (half where causal) at 14 H D flops (H heads of width D), the scan and the
// draw of a sparse one the same pairs at 4 M (M: sketch.width): short sequences cost less densely, and, 4 M being less than
// 14 H D, a length from which on sparse costs less stays one for all longer sequences. So a step is tried with its sequences
// cut to a short length, then to four times that, until sparse wins or nothing is cut any more: no dense pass is more than
// four times as long as the break-even.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "train/step.h"

namespace smartbird {

struct PatternChoice {
  bool dense = false;
  int64_t tokens = 0;                  // of the longest sequence of the last trial
  double sparse_ms = 0, dense_ms = 0;  // forward and backward of its step, on the slowest rank
};

// The step: of the first batches, the one with the median sum of squared lengths. setup.model: with the layers in question
// sparse and none else, its weights as they are at first; gradients are left at 0. stop is asked before every pass (it must
// answer alike on all ranks); after a yes there is no choice. The same on all ranks. Collective.
[[nodiscard]] std::optional<PatternChoice> choose_pattern(const StepSetup& setup, const Corpus& corpus,
                                                          const Sampler& sampler, const std::function<bool()>& stop);
// "auto: dense, ..." and the times it was chosen by.
[[nodiscard]] std::string to_text(const PatternChoice& choice);

}  // namespace smartbird
