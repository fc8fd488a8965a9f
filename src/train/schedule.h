// Learning rate of a step: linear warm-up, then cosine, linear or constant decay to a share of the peak at train.steps.
#pragma once

#include <cmath>

#include "config/options.h"

namespace smartbird {

// Factor of the peak at `step` (counts from 1).
[[nodiscard]] inline double schedule_factor(const TrainOptions& options, int64_t step) {
  if (step <= options.warmup_steps) return static_cast<double>(step) / static_cast<double>(options.warmup_steps);
  if (options.schedule == "constant") return 1.0;
  const double span = std::max(1.0, static_cast<double>(options.steps - options.warmup_steps));
  const double done = std::min(1.0, static_cast<double>(step - options.warmup_steps) / span);
  const double left = options.schedule == "linear" ? 1 - done : 0.5 * (1 + std::cos(3.14159265358979323846 * done));
  return options.final_learning_rate_share + (1 - options.final_learning_rate_share) * left;
}

}  // namespace smartbird
