// Laws of a selector's shares: on average over seeds the draw's picks hold what the formula says; no choice of K keys holds more
// than the oracle's; all hold more of a larger budget, and everything once it covers the domain.
#include "tools/selector_shares.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/filled_scan.h"
#include "tools/narrow_sketch.h"

namespace smartbird {
namespace {

constexpr double kFloor = 0.2;

double at_random(uint32_t number, uint32_t purpose) { return uniform(philox({number, purpose, 0, 0}, {5, 6})[0]); }

struct Block {
  std::vector<double> a, q, k, s;  // attention; sketch query [width], keys [n, width], scores
  static constexpr int64_t kWidth = 3;
  explicit Block(int64_t keys) {
    for (int64_t i = 0; i < kWidth; ++i) q.push_back(4 * at_random(static_cast<uint32_t>(i), 1) - 2);
    for (int64_t j = 0; j < keys; ++j) {
      a.push_back(std::exp(6 * at_random(static_cast<uint32_t>(j), 2)));
      s.push_back(0);
      for (int64_t i = 0; i < kWidth; ++i) {
        k.push_back(4 * at_random(static_cast<uint32_t>(j * kWidth + i), 3) - 2);
        s.back() += q[static_cast<size_t>(i)] * k.back();
      }
    }
  }
};

class FilledOrNot : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Selector, FilledOrNot, testing::Values(false, true));

TEST_P(FilledOrNot, SharesAreTheMeanOfWhatTheDrawPicks) {
  const Block block(40);
  const kernels::ScanBlock domain{.sample = 1, .left_end = 40};
  const kernels::ScanInput<double> input{.queries = block.q.data(),
                                         .keys = block.k.data(),
                                         .width = Block::kWidth,
                                         .scale = 1,
                                         .blocks = {&domain, 1},
                                         .excluded = {}};
  const bool fill = GetParam();
  const BlockShares shares(block.a, block.s, kFloor, fill);
  for (int64_t picks : {1, 7, 39, 40}) {
    constexpr int kSeeds = 4000;
    double lse = 0;
    kernels::scan_for_draw<double>(input, {.picks = picks, .floor = kFloor, .fill = fill}, &lse);
    double sum = 0, squares = 0, found = 0, keys = 0;
    std::vector<size_t> order(block.a.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return block.a[x] > block.a[y]; });
    order.resize(static_cast<size_t>(picks));
    for (int seed = 0; seed < kSeeds; ++seed) {
      kernels::Picks<double> drawn;
      kernels::draw<double>(
          input, &lse,
          {.picks = picks, .floor = kFloor, .key = philox_key(static_cast<uint64_t>(seed), 1, Purpose::Draw)}, drawn);
      double caught = 0;
      keys += static_cast<double>(drawn.key.size());
      for (int32_t key : drawn.key) {
        caught += block.a[static_cast<size_t>(key)];
        found += std::count(order.begin(), order.end(), static_cast<size_t>(key));
      }
      sum += caught, squares += caught * caught;
    }
    const double mean = sum / kSeeds, error = std::sqrt(std::max(0.0, squares / kSeeds - mean * mean) / kSeeds);
    EXPECT_NEAR(shares.caught(picks).sketch, mean, 6 * error + 1e-9 * mean) << picks;
    EXPECT_NEAR(shares.caught(picks).keys, keys / kSeeds, 6 * 0.5 * std::sqrt(block.a.size() / double{kSeeds}));
    EXPECT_NEAR(shares.recall(picks), found / static_cast<double>(picks * kSeeds), 6 * 0.5 / std::sqrt(picks * kSeeds))
        << picks;
  }
}

TEST_P(FilledOrNot, SharesGrowWithTheBudgetBelowTheOracle) {
  for (int64_t keys : {0, 1, 5, 64}) {
    const Block block(keys);
    const BlockShares shares(block.a, block.s, kFloor, GetParam());
    Shares before;
    for (int64_t picks = 0; picks <= keys + 2; ++picks) {
      const Shares s = shares.caught(picks);
      const double mass = std::accumulate(block.a.begin(), block.a.end(), 0.0), rounding = 1e-12 * mass;
      for (const auto& [now, was] : {std::pair{s.sketch, before.sketch},
                                     {s.topk, before.topk},
                                     {s.uniform, before.uniform},
                                     {s.oracle, before.oracle}}) {
        EXPECT_GE(now, was - rounding) << keys << " keys, K " << picks;
        EXPECT_LE(now, s.oracle + rounding) << keys << " keys, K " << picks;
        if (picks >= keys) {
          EXPECT_NEAR(now, mass, rounding);
        }
      }
      EXPECT_GE(s.keys, before.keys);
      EXPECT_LE(s.keys, static_cast<double>(std::min(picks, keys)) + 1e-9);
      if (picks >= keys) {
        EXPECT_EQ(s.keys, keys);
      }
      if (picks >= keys && keys > 0 && picks > 0) {
        EXPECT_EQ(shares.recall(picks), 1);
        EXPECT_EQ(shares.recall_of_topk(picks), 1);
      }
      before = s;
    }
  }
}

// Also where all but one probability is no double.
TEST(SelectorShares, APeakedSketchDrawsItsBudget) {
  Block block(50);
  for (size_t j = 0; j < block.s.size(); ++j) block.s[j] = -1000.0 * static_cast<double>(j);
  EXPECT_NEAR(BlockShares(block.a, block.s, 0, true).caught(8).keys, 8, 1e-12);
  EXPECT_NEAR(BlockShares(block.a, block.s, 0, false).caught(8).keys, 1, 1e-12);
}

TEST(SelectorShares, ASketchThatScoresAsTheAttentionFindsItsKeys) {
  Block block(50);
  for (size_t j = 0; j < block.a.size(); ++j) block.s[j] = std::log(block.a[j]);
  const BlockShares shares(block.a, block.s, 0, false);
  EXPECT_EQ(shares.recall_of_topk(9), 1);
  EXPECT_DOUBLE_EQ(shares.caught(9).topk, shares.caught(9).oracle);
  std::reverse(block.s.begin(), block.s.end());
  EXPECT_LT(BlockShares(block.a, block.s, 0, false).recall_of_topk(9), 1);
}

TEST(SelectorShares, EffectiveKeysCountEqualOnes) {
  EXPECT_EQ(effective_keys(std::vector<double>{}), 0);
  EXPECT_EQ(effective_keys(std::vector<double>{0, 0}), 0);
  EXPECT_NEAR(effective_keys(std::vector<double>{0, 3, 0}), 1, 1e-12);
  EXPECT_NEAR(effective_keys(std::vector<double>{2, 2, 0, 2, 2}), 4, 1e-12);
}

// The score of a sketch of that width is x' W_q' B W_k y with as many singular values of W_q' W_k as it says, the largest.
TEST(NarrowSketch, KeepsTheLargestDirections) {
  at::manual_seed(3);
  for (const auto& [width, inner] : {std::pair<int64_t, int64_t>{4, 8}, {8, 4}, {5, 5}}) {
    const at::Tensor q = at::randn({width, inner}, at::kDouble), k = at::randn({width, inner}, at::kDouble);
    const at::Tensor whole = at::linalg_svdvals(at::matmul(q.t(), k));
    for (int64_t m = 1; m <= width + 1; ++m) {
      const at::Tensor cut = at::linalg_svdvals(at::matmul(at::matmul(q.t(), narrowed(q, k, m)), k));
      for (int64_t i = 0; i < inner; ++i)
        EXPECT_NEAR(cut[i].item<double>(), i < std::min(m, width) ? whole[i].item<double>() : 0, 1e-9)
            << width << " x " << inner << ", cut to " << m << ", value " << i;
    }
  }
}

}  // namespace
}  // namespace smartbird
