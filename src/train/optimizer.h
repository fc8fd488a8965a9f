// The update of the flat parameters: gradients are summed to the rank that owns each range (reduce-scatter over all
// ranks), clipped by their true global norm (model and sketch apart), AdamW runs on my range, the new weights are
// gathered. Optimizer state exists for my range only (ZeRO-1). Every loss is a global mean already, so nothing divides
// by the number of ranks.
#pragma once

#include "comm/world.h"
#include "config/options.h"
#include "core/timer.h"
#include "model/parameters.h"
#include "train/checkpoint.h"

namespace smartbird {

struct GradNorms {
  double model = 0, sketch = 0;
};

class Optimizer {
 public:
  Optimizer(const World& world, Parameters& parameters, const TrainOptions& options);

  // Collective. The sketch's gradient is multiplied by sketch_scale before anything else. Throws NonFinite, on all ranks
  // alike and before any weight changes, when a norm is not finite.
  GradNorms step(int64_t step, double sketch_scale, StageTimer& timer);
  [[nodiscard]] OptimizerShard& shard() { return shard_; }

 private:
  void update(int64_t step, const GradNorms& norms, double sketch_scale);
  const World& world_;
  Parameters& parameters_;
  TrainOptions options_;
  OptimizerShard shard_;
  std::vector<int64_t> counts_;
  at::Tensor gradient_;  // [end - begin] summed over ranks
};

}  // namespace smartbird
