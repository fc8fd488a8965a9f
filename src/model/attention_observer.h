// Somebody who looks on while a forward pass draws and attends, and changes nothing.
#pragma once

#include "model/sketch.h"

namespace smartbird {

// A sketch's draw: valid during the call.
struct ObservedDraw {
  int64_t sketch = 0;
  const SketchOutput& output;
  const SketchScores& scores;         // what the draw saw
  const AttentionSettings& settings;  // of the plan
  const at::Tensor& input;            // [T, C] of the sketch
  const at::Tensor& position;         // [T]
};

class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  virtual void drawn(const StepContext& context, const ObservedDraw& draw) = 0;
  // q [T, H, D] and kv [T, G, 2D] of a layer, with rotary positions.
  virtual void attended(const StepContext& context, int64_t layer, const at::Tensor& q, const at::Tensor& kv) = 0;
};

}  // namespace smartbird
