// attention.draw = oracle: what a sketch is measured against. The K keys of E that a layer's own exact attention weighs most,
// summed over a block's rows (causal: of its first row) and the query heads that pick together; log π = 0. It costs a dense layer. Products round as the
// shapes of a rank have it, so equal weights may be told apart differently by other numbers of ranks.
#pragma once

#include "kernels/draw.h"
#include "ops/plan.h"

namespace smartbird {

// q [T, H, D] of my rows, keys [N, G, D] of all tokens in stream order, both with rotary positions; blocks and domains: mine.
template <class T>
[[nodiscard]] kernels::Picks<T> exact_picks(const StepContext& context, const AttentionSettings& settings,
                                            const std::vector<Layout::Block>& blocks,
                                            const std::vector<kernels::ScanBlock>& domains, const at::Tensor& q,
                                            const at::Tensor& keys);

}  // namespace smartbird
