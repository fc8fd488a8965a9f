// The head all-to-all (DeepSpeed-Ulysses, arXiv 2309.14509): from all heads of my rows to my share of the heads of all rows in
// stream order, and back. Rank r computes the heads [r H/P, (r+1) H/P). Collective; counted under `what`.
#pragma once

#include "ops/plan.h"

namespace smartbird {

// x [T, H, D] -> [N, H/P, D]; differentiable.
[[nodiscard]] at::Tensor rows_to_heads(Communicator& group, const char* what, const at::Tensor& x, const Plan& plan);
// x [N, H/P, D] -> [T, H, D]; differentiable.
[[nodiscard]] at::Tensor heads_to_rows(Communicator& group, const char* what, const at::Tensor& x, const Plan& plan);

// Keys and values, head by head: kv [G, T, 2D] -> [G/P, N, 2D], rank by rank, and the way back. No gradient.
[[nodiscard]] at::Tensor units_to_heads(Communicator& group, const std::string& what, const at::Tensor& kv,
                                        const Plan& plan);
[[nodiscard]] at::Tensor units_to_rows(Communicator& group, const std::string& what, const at::Tensor& units,
                                       const Plan& plan);

// The lists of my share of the pick heads for the blocks of all ranks, in stream order, from all lists of my blocks.
// num_blocks [P]: blocks of every rank; number: of every block, rank by rank, in the stream.
template <class T>
[[nodiscard]] kernels::Picks<T> deal_lists(Communicator& group, const std::vector<int64_t>& num_blocks,
                                           const std::vector<int64_t>& number, int pick_heads,
                                           const kernels::Picks<T>& mine);

}  // namespace smartbird
