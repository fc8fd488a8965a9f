// Attention of this rank's rows under a plan: fetch the rows of other ranks, then band and picks on one state.
#pragma once

#include "ops/units.h"

namespace smartbird {

// q [T, H, D], units [U, 2D] -> o [T, H, D]. The plan must outlive the graph.
[[nodiscard]] at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& units, const Plan& plan);

// How keys and values are held: whether fetched rows stay for the backward pass or are fetched a second time; whether they
// are rounded to bfloat16 before any is fetched (the arithmetic and all gradients stay as they are, those of the rounding
// pass through).
enum class FetchedRows { Keep, FetchAgain };
struct KvStorage {
  FetchedRows rows = FetchedRows::Keep;
  bool bfloat16 = false;
};

// gather_units and sparse_attention in one: q [T, H, D], kv [T, G, 2D] -> o [T, H, D]. Collective, differentiable; so is
// its backward pass.
[[nodiscard]] at::Tensor attend(const StepContext& context, const at::Tensor& q, const at::Tensor& kv, const Plan& plan,
                                KvStorage storage);

}  // namespace smartbird
