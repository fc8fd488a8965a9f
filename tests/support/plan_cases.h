// Plans of small packed streams, drawn from random sketch scores: every combination of visibility, global keys and pattern
// meets every choice of ranks, blocks, exchange plan and pick heads.
#pragma once

#include <numeric>

#include "comm/thread_comm.h"
#include "ops/plan_parts.h"
#include "ops/tensors.h"
#include "tests/support/cover_pairs.h"
#include "tests/support/gradients.h"

namespace smartbird::testing {

inline constexpr int64_t kSketchWidth = 3;

struct PlanCase {
  AttentionSettings settings{.window = 1, .picks = 3, .share_rows = 4, .heads = 4, .kv_heads = 2, .pick_heads = 2};
  std::vector<int64_t> lengths{11, 1, 9};
  int block = 1, ranks = 1;
  LayoutKind layout = LayoutKind::Contiguous;
  Link link{1e-4, 1e6};
};

inline std::vector<NamedCase<PlanCase>> plan_cases() {
  using C = PlanCase;
  const Axis<C> visibilities{{"causal", [](C&) {}},
                             {"prefix", [](C&c) { c.settings.visibility.prefix = 5; }},
                             {"bidirectional", [](C&c) { c.settings.visibility.causal = false; }}},
      globals{{"no globals", [](C&) {}},
              {"globals",
               [](C&c) {
                 c.settings.global_positions = {0, 6};
               }}},
      patterns{{"sparse", [](C&) {}},
               {"window", [](C&c) { c.settings.pattern = Pattern::Window; }},
               {"dense", [](C&c) { c.settings.pattern = Pattern::Dense; }}};
  return covering_cases<C>(
      C{}, {crossed(visibilities, crossed(globals, patterns)),
            {{"P 1", [](C&) {}},
             {"P 3", [](C& c) { c.ranks = 3; }},
             {"P 8 zigzag", [](C& c) { c.ranks = 8, c.layout = LayoutKind::Zigzag; }},
             {"P 5, N 3",
              [](C& c) {
                c.ranks = 5, c.lengths = {2, 1};
              }}},
            {{"b 1", [](C&) {}}, {"b 4", [](C& c) { c.block = 4; }}},
            {{"rows", [](C&) {}},
             {"all", [](C& c) { c.settings.exchange = ExchangePlan::All; }},
             {"heads", [](C& c) { c.settings.exchange = ExchangePlan::Heads; }},
             {"auto", [](C& c) { c.settings.exchange = ExchangePlan::Auto; }},
             {"rows, no overlap", [](C& c) { c.settings.overlap = false; }}},
            {{"picks of kv heads", [](C&) {}}, {"picks of query heads", [](C& c) { c.settings.pick_heads = 4; }}}});
}

// By heads every rank needs kv heads of its own: two each.
inline AttentionSettings settings_of(const PlanCase& c) {
  AttentionSettings s = c.settings;
  if (s.exchange != ExchangePlan::Heads) return s;
  const bool query = s.pick_heads == s.heads;
  s.heads = 4 * c.ranks, s.kv_heads = 2 * c.ranks, s.pick_heads = query ? s.heads : s.kv_heads;
  return s;
}

// Of the attention that a plan gives to this rank: the stream positions and query blocks of its rows, its first kv head.
inline std::vector<int64_t> attending_rows(const StepContext& context, const Plan& plan) {
  std::vector<int64_t> out = context.layout.tokens_of(context.rank());
  if (!plan.by_heads()) return out;
  out.resize(static_cast<size_t>(context.layout.num_tokens()));
  std::iota(out.begin(), out.end(), 0);
  return out;
}
inline std::vector<Layout::Block> attending_blocks(const StepContext& context, const Plan& plan) {
  return plan.by_heads() ? all_blocks(context.layout) : context.layout.blocks_of(context.rank());
}
inline int64_t first_kv_head(const StepContext& context, const Plan& plan) {
  return plan.by_heads() ? context.rank() * plan.kv_heads : 0;
}

// [T, H, width], as attend() takes them.
inline at::Tensor random_queries(std::mt19937& random, const Plan& plan, int64_t width) {
  return random_tensor(random, {plan.own_rows, plan.heads / plan.kv_heads * plan.own_kv_heads, width});
}

// kv [T, G, width]: the value of a row of this rank is stream position · G + kv head.
inline at::Tensor named_rows(const StepContext& context, const Plan& plan, int64_t width) {
  return (index_tensor(context.layout.tokens_of(context.rank())).view({-1, 1, 1}) * plan.own_kv_heads +
          at::arange(plan.own_kv_heads).view({1, -1, 1}))
      .to(at::kDouble)
      .expand({-1, -1, width});
}

// Body(context, plan) on every rank of a case, the picks drawn from random sketch scores.
template <class Body>
void with_plan(const PlanCase& c, Body body) {
  std::vector<Sequence> sequences;
  int64_t tokens = 0;
  for (int64_t length : c.lengths) sequences.push_back({40 + sequences.size(), tokens, length}), tokens += length;
  const Layout layout(sequences, c.block, c.ranks, c.layout);
  run_thread_ranks(c.ranks, [&](Communicator& group) {
    const World world(group.split(0, group.rank()), 0);
    StageTimer timer;
    const StepContext context{world, layout, timer, 3, 1, Phase::Train, c.link};
    std::mt19937 all(5), mine(6 + static_cast<uint32_t>(group.rank()));
    const int64_t blocks = static_cast<int64_t>(layout.blocks_of(group.rank()).size());
    const SketchScores scores{.queries = random_tensor(mine, {blocks, kSketchWidth}),
                              .keys = random_tensor(all, {tokens, kSketchWidth}),
                              .scale = 0.7,
                              .layer = 0};
    body(context, make_plan(context, settings_of(c), scores, at::kDouble));
  });
}

}  // namespace smartbird::testing
