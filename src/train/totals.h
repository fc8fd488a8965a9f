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
  // Largest over mean of the ranks' scan work, and of the rows that they send, after reduce().
  double imbalance = 1, sent_rows_imbalance = 1;

  void add(const Forward& forward, const Stream& stream);
  void reduce(const World& world);  // collective
  // Means; also gathers bytes and memory. Collective.
  [[nodiscard]] StepRecord record(const World& world, double targets) const;
  // [layers][kv heads], of all ranks' rows; empty for a layer without picks. After reduce().
  [[nodiscard]] std::vector<std::vector<double>> phi_by_layer_head(const ModelShape& shape) const;
};

void clear_counters(const World& world);

}  // namespace smartbird
