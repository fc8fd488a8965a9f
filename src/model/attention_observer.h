// Somebody who looks on while a forward pass draws and attends, and changes nothing.
#pragma once

#include "ops/plan.h"

namespace smartbird {

// A sketch's scores before its layers draw from them: valid during the call.
struct ObservedSketch {
  int64_t number = 0;
  const SketchScores& scores;         // what draws see
  const AttentionSettings& settings;  // of the plans
  const at::Tensor& input;            // [T, C] of the sketch
  const at::Tensor& position;         // [T]
};

class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  virtual void sketched(const StepContext& context, const ObservedSketch& sketch) = 0;
  // q [T, H, D] and kv [T, G, 2D] of a layer, with rotary positions.
  virtual void attended(const StepContext& context, int64_t layer, const at::Tensor& q, const at::Tensor& kv) = 0;
};

}  // namespace smartbird
