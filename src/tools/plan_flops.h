// Floating-point work of a training step over all ranks, by stage; a multiply-add is two. The formulas are those of the
// cost of a layer: with T rows,
//   projections 2 T C (2 H D + 2 G D), MLP 6 T C F, backward twice that
//   head 2 T C V of the rows with a target, its gradients, 4 T C V, come with it
//   scan and draw 2 M a (block, key of E), where the draw reads probabilities, scores
//   band and picks 4 D H a (row, key), backward 10 D H (scores again, dp, dq, dk, dv)
//   probes 4 D H a (probe row, key that its block sees) and sparse layer: its scores are formed twice
// Layers that are computed again in the backward pass count their forward work twice.
#pragma once

#include <string>
#include <vector>

#include "tools/plan_case.h"

namespace smartbird {

enum class Rate { Gemm, Scan, Draw, Attention, Memory };  // what bounds a stage

struct WorkStage {
  std::string name;
  Rate rate = Rate::Gemm;
  double forward = 0, backward = 0;  // flops (Rate::Memory: bytes)
  [[nodiscard]] double all() const { return forward + backward; }
};

[[nodiscard]] std::vector<WorkStage> predict_work(const PlanCase& plan);

}  // namespace smartbird
