// Attention of this rank's rows under a plan: fetch the rows of other ranks, then band and picks on one state.
#pragma once

#include "ops/plan.h"

namespace smartbird {

// kv [T, G, 2D] of this rank -> units [U, 2D] (mine, halo, global keys, picked rows). Collective, differentiable.
[[nodiscard]] at::Tensor gather_units(const StepContext& context, const at::Tensor& kv, const Plan& plan);

// q [T, H, D], units [U, 2D] -> o [T, H, D]. The plan must outlive the graph.
[[nodiscard]] at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& units, const Plan& plan);

}  // namespace smartbird
