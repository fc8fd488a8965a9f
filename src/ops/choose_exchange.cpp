// Loads of the three plans, and the least of their times.
#include "ops/choose_exchange.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "ops/exchange_cost.h"

namespace smartbird {
namespace {

double sum_of(const std::vector<int64_t>& counts) {
  return static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
}

// Requests for whole tokens, in units.
Load load_of(const Requests& requests, int kv_heads) {
  return {sum_of(requests.send_rows) * kv_heads, sum_of(requests.recv_rows) * kv_heads};
}

// How many single units every rank asks of this one, and this one of all.
Load singles_load(Communicator& group, const std::vector<std::vector<int64_t>>& wanted) {
  const std::vector<int64_t> ones(wanted.size(), 1);
  std::vector<int64_t> counts, asked(wanted.size());
  for (const auto& rows : wanted) counts.push_back(static_cast<int64_t>(rows.size()));
  group.all_to_all_v("row_counts", counts.data(), ones, asked.data(), ones, DType::i64);
  return {sum_of(asked), sum_of(counts)};
}

RowsLoad rows_load(const StepContext& context, AttentionSettings s, const std::vector<Layout::Block>& blocks,
                   const std::vector<int64_t>& start, std::span<const int32_t> key) {
  s.exchange = ExchangePlan::Rows;
  Plan plan;
  plan.own_rows = context.layout.rank_tokens(context.rank());
  plan.kv_heads = s.kv_heads;
  add_known_rows(context.layout, context.rank(), s, plan);
  const Singles singles = number_singles(context, s, blocks, start, key, plan);
  return {load_of(plan.halo, s.kv_heads), load_of(plan.globals, s.kv_heads),
          singles_load(context.group(), singles.wanted), s.pattern == Pattern::Sparse};
}

}  // namespace

std::array<double, 3> exchange_seconds(const StepContext& context, const AttentionSettings& s,
                                       const std::vector<Layout::Block>& blocks, const std::vector<int64_t>& start,
                                       std::span<const int32_t> key) {
  const int64_t ranks = context.layout.num_ranks(), tokens = context.layout.num_tokens(),
                own = context.layout.rank_tokens(context.rank());
  const Load foreign{static_cast<double>(own * (ranks - 1) * s.kv_heads),
                     static_cast<double>((tokens - own) * s.kv_heads)};
  std::array<double, 3> seconds{rows_seconds(context.link, s.use, rows_load(context, s, blocks, start, key)),
                                all_seconds(context.link, s.use, foreign), std::numeric_limits<double>::infinity()};
  if (s.kv_heads % ranks == 0)
    seconds[static_cast<size_t>(ExchangePlan::Heads)] = heads_seconds(context.link, s.use,
                                                                      {.ranks = ranks,
                                                                       .tokens = tokens,
                                                                       .own_tokens = own,
                                                                       .heads = s.heads,
                                                                       .kv_heads = s.kv_heads,
                                                                       .lists = static_cast<double>(start.size()) - 1,
                                                                       .picks = static_cast<double>(key.size())});
  return seconds;
}

ExchangePlan cheapest_exchange(const StepContext& context, const AttentionSettings& s,
                               const std::vector<Layout::Block>& blocks, const std::vector<int64_t>& start,
                               std::span<const int32_t> key) {
  if (context.layout.num_ranks() == 1) return ExchangePlan::Rows;
  std::array<double, 3> seconds = exchange_seconds(context, s, blocks, start, key);
  context.group().all_reduce("exchange_cost", seconds.data(), seconds.size(), DType::f64, ReduceOp::Max);
  return static_cast<ExchangePlan>(std::min_element(seconds.begin(), seconds.end()) - seconds.begin());
}

}  // namespace smartbird
