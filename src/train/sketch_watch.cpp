// Means of the shares over runs of steps.
#include "train/sketch_watch.h"

#include <algorithm>
#include <cstdio>

#include "config/rules.h"
#include "core/error.h"

namespace smartbird {
namespace {

// Whether picks follow a sketch that learns.
bool follows_a_sketch(const Options& o) {
  return o.sketch.probes > 0 && o.attention.picks > 0 && draws_from_sketch(o) && has_sparse_layer(o);
}

std::string in_percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

}  // namespace

SketchWatch::SketchWatch(const Options& o)
    : watches_(follows_a_sketch(o)),
      first_(1 + std::max({o.train.warmup_steps, o.attention.share_warmup_steps, o.attention.warmup_steps})) {}

std::string SketchWatch::step(const StepRecord& record) {
  // Steps without probes, or in which everything is picked, tell nothing.
  if (!watches_ || record.step < first_ || record.coverage_uniform <= 0 || record.coverage_uniform > 0.99) return "";
  caught_ += record.coverage_domain, uniform_ += record.coverage_uniform;
  if (++steps_ < kSteps) return "";
  const double caught = caught_ / kSteps, uniform = uniform_ / kSteps;
  steps_ = 0, caught_ = 0, uniform_ = 0;
  if (caught > uniform * (1 + kMargin * (1 - uniform))) return "";
  watches_ = false;
  return join(
      "warning: in the last ", kSteps, " steps the picks held ", in_percent(caught),
      " of the attention in their domain, uniform ones would have held ", in_percent(uniform),
      ": either the model's attention is still flat, or the sketch does not follow it; look at loss and sketch_loss in "
      "metrics.jsonl, and at train.sketch_learning_rate, sketch.probes and attention.warmup_steps");
}

}  // namespace smartbird
