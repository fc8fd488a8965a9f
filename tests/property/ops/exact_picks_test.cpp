// Law: the oracle's picks are the K keys of E with the most exact attention of the block's rows (causal: of its first) and of
// the query heads that pick together, on any number of ranks and however few rows are scored at once.
#include "ops/exact_picks.h"

#include "kernels/score_panel.h"
#include "tests/support/plan_cases.h"

namespace smartbird::testing {
namespace {

// The attention of a row and query head over its sequence, from the formula; 0 where it does not see.
std::vector<double> attention_of(const at::Tensor& q, const at::Tensor& keys, const Sequence& sequence, int64_t end,
                                 int64_t kv_head) {
  std::vector<double> out;
  double sum = 0;
  for (int64_t j = 0; j < sequence.length; ++j) {
    const double z = at::dot(q, keys[sequence.begin + j][kv_head]).item<double>() / std::sqrt(q.size(0));
    out.push_back(j < end ? std::exp(z) : 0.0), sum += out.back();
  }
  for (double& a : out) a /= sum;
  return out;
}

// The K largest of E, ascending.
std::vector<int64_t> largest(const std::vector<double>& mass, const std::vector<int64_t>& domain, int64_t picks) {
  std::vector<int64_t> keys(domain);
  std::sort(keys.begin(), keys.end(), [&](int64_t a, int64_t b) { return mass[a] > mass[b]; });
  keys.resize(std::min<size_t>(keys.size(), static_cast<size_t>(picks)));
  std::sort(keys.begin(), keys.end());
  return keys;
}

void expect_the_largest(const StepContext& context, const AttentionSettings& s, const std::string& name) {
  const Layout& layout = context.layout;
  const int64_t width = 4;
  std::mt19937 random(9);
  const at::Tensor all_q = random_tensor(random, {layout.num_tokens(), s.heads, width}) * 2,
                   keys = random_tensor(random, {layout.num_tokens(), s.kv_heads, width});
  const at::Tensor q = all_q.index_select(0, index_tensor(layout.tokens_of(context.rank())));
  const std::vector<Layout::Block> blocks = layout.blocks_of(context.rank());
  const std::vector<kernels::ScanBlock> domains = scan_blocks(layout, s, blocks);
  const auto picks = exact_picks<double>(context, s, blocks, domains, q, keys);
  ASSERT_EQ(picks.start.size(), blocks.size() * static_cast<size_t>(s.pick_heads) + 1) << name;
  const int64_t per = s.heads / s.kv_heads, together = s.heads / s.pick_heads;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(blocks[i].sequence)];
    std::vector<int64_t> domain;
    kernels::for_domain(domains[i], s.global_positions, [&](int64_t j) { domain.push_back(j); });
    for (int64_t h = 0; h < s.pick_heads; ++h) {
      std::vector<double> mass(static_cast<size_t>(sequence.length), 0.0);
      const int64_t last = s.visibility.causal ? blocks[i].begin + 1 : blocks[i].end;
      for (int64_t row = blocks[i].begin; row < last; ++row)
        for (int64_t head = h * together; head < (h + 1) * together; ++head) {
          const auto a = attention_of(all_q[sequence.begin + row][head], keys, sequence,
                                      s.visibility.end(row, sequence.length), head / per);
          for (size_t j = 0; j < a.size(); ++j) mass[j] += a[j];
        }
      const size_t list = i * static_cast<size_t>(s.pick_heads) + static_cast<size_t>(h);
      const std::vector<int64_t> got(picks.key.begin() + picks.start[list], picks.key.begin() + picks.start[list + 1]);
      ASSERT_EQ(got, largest(mass, domain, s.picks)) << name << ": block " << i << " head " << h;
    }
  }
  for (const double log_pi : picks.log_pi) ASSERT_EQ(log_pi, 0);
}

TEST(ExactPicks, AreTheLargest) {
  for (auto [name, c] : plan_cases()) {
    if (c.settings.pattern != Pattern::Sparse) continue;
    for (const int64_t budget : {int64_t{1}, int64_t{1} << 20}) {
      c.settings.scan_budget_bytes = budget;
      with_plan(c, [&, name = name](const StepContext& context, const Plan&) {
        expect_the_largest(context, settings_of(c), name);
      });
    }
  }
}

}  // namespace
}  // namespace smartbird::testing
