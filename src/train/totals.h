// Sums of a step or an evaluation: first over my micro-steps, then over all ranks; means are taken once, at the end.
#pragma once

#include "comm/world.h"
#include "model/transformer.h"
#include "train/metrics.h"

namespace smartbird {

struct Totals {
  double loss = 0, correct = 0, counted = 0, bytes = 0, sketch_loss = 0;
  ProbeMass mass;
  PlanStats stats;
  double imbalance = 1;  // largest over mean of the ranks' scan work, after reduce()

  void add(const Forward& forward, const Stream& stream);
  void reduce(const World& world);  // collective
  // Means; also gathers bytes and memory. Collective.
  [[nodiscard]] StepRecord record(const World& world, double targets) const;
};

void clear_sent_bytes(const World& world);

}  // namespace smartbird
