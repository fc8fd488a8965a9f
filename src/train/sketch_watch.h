// Notices a sketch that is of no use: over many steps after the warm-ups, its picks hold hardly more of the exact attention in
// their domain than uniform picks would.
#pragma once

#include <cstdint>
#include <string>

#include "config/options.h"
#include "train/metrics.h"

namespace smartbird {

class SketchWatch {
 public:
  explicit SketchWatch(const Options& options);
  // Takes a step's record; once in a run it returns a sentence for the user, else nothing.
  [[nodiscard]] std::string step(const StepRecord& record);

 private:
  static constexpr int64_t kSteps = 200;   // that are looked at together
  static constexpr double kMargin = 0.02;  // above uniform that is still nothing: of what uniform picks leave and hold
  bool watches_;
  int64_t first_, steps_ = 0;
  double caught_ = 0, uniform_ = 0;
};

}  // namespace smartbird
