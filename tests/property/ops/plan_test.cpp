// Law: a plan names every key of a row at most once and only keys that the row may see, all of them with a full budget;
// corrections are log π, capped from below, and never move a pick.
#include <cmath>
#include <set>

#include "kernels/draw_needs.h"
#include "ops/sparse_attention.h"
#include "tests/support/plan_cases.h"

namespace smartbird::testing {
namespace {

// The stream positions that a row's query head attends, in the order of the plan; names [U] = token · G + kv head.
std::vector<int64_t> attended(const Plan& plan, const at::Tensor& names, size_t row, int64_t head) {
  std::vector<int64_t> tokens;
  for (int64_t token = plan.band_begin[row]; token < plan.band_end[row]; ++token) tokens.push_back(token);
  if (plan.pick_heads == 0) return tokens;
  const auto list = static_cast<size_t>(plan.row_block[row] * plan.pick_heads + head * plan.pick_heads / plan.heads);
  for (int64_t i = plan.pick_start[list]; i < plan.pick_start[list + 1]; ++i)
    tokens.push_back(names[plan.pick_unit[static_cast<size_t>(i)]].item<int64_t>() / plan.own_kv_heads);
  return tokens;
}

void expect_visible_keys(const PlanCase& c, const StepContext& context, const Plan& plan, bool all,
                         const std::string& name) {
  const std::vector<int64_t> rows = attending_rows(context, plan);
  const at::Tensor names = gather_units(context, named_rows(context, plan, 2), plan).select(1, 0).to(at::kLong);
  for (size_t row = 0; row < rows.size(); ++row) {
    const Sequence& sequence = context.layout.sequences()[static_cast<size_t>(context.layout.sequence_of(rows[row]))];
    const int64_t end = c.settings.visibility.end(rows[row] - sequence.begin, sequence.length);
    for (int64_t head = 0; head < plan.heads; ++head) {
      const std::vector<int64_t> tokens = attended(plan, names, row, head);
      const std::set<int64_t> once(tokens.begin(), tokens.end());
      ASSERT_EQ(once.size(), tokens.size()) << name << ": a key twice, row " << rows[row] << " head " << head;
      ASSERT_GE(*once.begin(), sequence.begin) << name << ", row " << rows[row];
      ASSERT_LT(*once.rbegin(), sequence.begin + end) << name << ", row " << rows[row];
      ASSERT_TRUE(once.contains(rows[row])) << name << ": row " << rows[row] << " does not see itself";
      for (int64_t global : c.settings.global_positions)
        ASSERT_TRUE(c.settings.pattern == Pattern::Window || global >= end || once.contains(sequence.begin + global))
            << name << ": row " << rows[row] << " misses global key " << global;
      if (all) {
        ASSERT_EQ(static_cast<int64_t>(once.size()), end) << name << ", row " << rows[row];
      }
    }
  }
}

TEST(Plan, KeysAreVisibleAndNamedOnce) {
  for (const auto& [name, c] : plan_cases())
    with_plan(c, [&, name = name, c = c](const StepContext& context, const Plan& plan) {
      expect_visible_keys(c, context, plan, c.settings.pattern == Pattern::Dense, name);
    });
}

TEST(Plan, ScansOnlyForADrawThatReadsProbabilities) {
  using kernels::DrawMode;
  for (DrawMode mode : {DrawMode::Poisson, DrawMode::Systematic, DrawMode::Gumbel, DrawMode::Iid, DrawMode::TopK,
                        DrawMode::BigBird, DrawMode::Uniform}) {
    PlanCase c;
    c.settings.draw = mode;
    with_plan(c, [&](const StepContext& context, const Plan&) {
      EXPECT_EQ(context.timer.total_ms().contains("scan"), kernels::needs_probabilities(mode))
          << static_cast<int>(mode);
      EXPECT_TRUE(context.timer.total_ms().contains("draw"));
    });
  }
}

TEST(Plan, AFullBudgetNamesEveryVisibleKey) {
  for (auto [name, c] : plan_cases()) {
    c.settings.picks = 100;
    with_plan(c, [&, name = name, c = c](const StepContext& context, const Plan& plan) {
      expect_visible_keys(c, context, plan, c.settings.pattern != Pattern::Window, name);
      if (plan.pick_log_pi.numel() > 0) {
        EXPECT_EQ(plan.pick_log_pi.abs().max().item<double>(), 0) << name;
      }
    });
  }
}

TEST(Plan, CorrectionsAreLogPiCappedBelow) {
  for (const auto& [name, c] : plan_cases()) {
    std::vector<Plan> plain(static_cast<size_t>(c.ranks)), capped(plain.size()), off(plain.size());
    const auto collect = [](const PlanCase& of, std::vector<Plan>& plans) {
      with_plan(
          of, [&](const StepContext& context, const Plan& plan) { plans[static_cast<size_t>(context.rank())] = plan; });
    };
    PlanCase changed = c;
    collect(c, plain);
    changed.settings.min_inclusion = 0.5;
    collect(changed, capped);
    changed.settings.correction = false;
    collect(changed, off);
    for (size_t r = 0; r < plain.size(); ++r) {
      for (const Plan* other : {&capped[r], &off[r]}) EXPECT_EQ(other->pick_unit, plain[r].pick_unit) << name;
      EXPECT_TRUE(at::equal(capped[r].pick_log_pi, plain[r].pick_log_pi.clamp_min(std::log(0.5)))) << name;
      EXPECT_TRUE(at::equal(off[r].pick_log_pi, at::zeros_like(plain[r].pick_log_pi))) << name;
    }
  }
}

}  // namespace
}  // namespace smartbird::testing
