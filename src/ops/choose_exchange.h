// `exchange.plan = auto`: of the plans that are possible, the one whose predicted time (ops/exchange_cost.h) is least for these
// picks; the slowest rank's time counts, so all ranks of the group agree. Of equals the first of rows, all, heads.
#pragma once

#include <array>

#include "ops/plan_parts.h"

namespace smartbird {

// Predicted seconds on this rank by ExchangePlan; infinite where a plan is not possible. blocks, start, key: what this rank
// drew. Collective.
[[nodiscard]] std::array<double, 3> exchange_seconds(const StepContext& context, const AttentionSettings& settings,
                                                     const std::vector<Layout::Block>& blocks,
                                                     const std::vector<int64_t>& start, std::span<const int32_t> key);

// Collective.
[[nodiscard]] ExchangePlan cheapest_exchange(const StepContext& context, const AttentionSettings& settings,
                                             const std::vector<Layout::Block>& blocks,
                                             const std::vector<int64_t>& start, std::span<const int32_t> key);

}  // namespace smartbird
