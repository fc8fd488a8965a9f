// Attention of this rank's rows under a plan: fetch the rows of other ranks, then band and picks on one state.
#pragma once

#include "ops/kv_travel.h"

namespace smartbird {

// q [T, H, D], units [U, 2D] -> o [T, H, D]. The plan must outlive the graph.
[[nodiscard]] at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& units, const Plan& plan);

// gather_units and sparse_attention in one: q [T, H, D], kv [T, G, 2D] -> o [T, H, D]. Collective, differentiable; so is
// its backward pass.
[[nodiscard]] at::Tensor attend(const StepContext& context, const at::Tensor& q, const at::Tensor& kv,
                                const KvTravelPtr& travel);
[[nodiscard]] at::Tensor attend(const StepContext& context, const at::Tensor& q, const at::Tensor& kv, const Plan& plan,
                                KvStorage storage);

}  // namespace smartbird
