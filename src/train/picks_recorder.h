// run.record_picks: gathers what the first replica drew in a step and writes RUN/picks/step-N.safetensors (train/picks_file.h).
// All calls are collective; in steps that are not recorded they do nothing.
#pragma once

#include "train/picks_file.h"
#include "train/step.h"

namespace smartbird {

class PicksRecorder {
 public:
  PicksRecorder(const StepSetup& setup, int64_t step);
  void add(const StepContext& context, const Forward& forward);  // after every micro-step
  void write(const StepRecord& record);

 private:
  const StepSetup& setup_;
  bool on_;
  PicksRecord picks_;
};

// RUN/picks, before the first step. ErrorKind::Io.
void make_picks_folder(const std::string& run_dir);

}  // namespace smartbird
