// Laws over seeds: inclusion frequencies equal π for every mode and share group, the corrected numerator
// and denominator of attention over picks have the dense sums as their mean, and only the blocks of one share group draw
// together. Bounds are 6 standard errors.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/filled_scan.h"
#include "kernels/pick_tiles.h"
#include "tests/reference/reference_draw.h"

namespace smartbird {
namespace {

using kernels::DrawMode;

struct Setting {
  reference::StreamShape stream;
  int64_t picks = 0;
  [[nodiscard]] int64_t longest() const { return *std::max_element(stream.lengths.begin(), stream.lengths.end()); }
  [[nodiscard]] int64_t tokens() const {
    return std::accumulate(stream.lengths.begin(), stream.lengths.end(), int64_t{0});
  }
};

enum class Shape { FewOfMany, NearlyAll };

// Few picks of many keys, blocks of three rows; and one row a block, causal: domains from none over all that are taken
// (|E| <= K) to one and more keys above K.
Setting setting(Shape shape, int64_t share) {
  if (shape == Shape::FewOfMany)
    return {{.lengths = {67, 30},
             .block = 3,
             .window = 2,
             .share = share,
             .width = 5,
             .causal = false,
             .excluded = {0, 20}},
            7};
  return {{.lengths = {34, 5}, .block = 1, .window = 1, .share = share, .width = 5, .causal = true, .excluded = {3}},
          20};
}

// A mode, and whether it fills its budget.
struct Way {
  DrawMode mode;
  bool fill = false;
};

kernels::DrawOptions options(Way way, const Setting& setting, uint64_t seed) {
  return {.mode = way.mode,
          .picks = setting.picks,
          .floor = 0.2,
          .fill = way.fill,
          .heads = 2,
          .layer = 1,
          .key = philox_key(seed, 3, Purpose::Draw)};
}

std::vector<double> lse_of(const reference::Stream<double>& stream, const Setting& set, Way way) {
  std::vector<double> lse(stream.blocks.size());
  kernels::scan_for_draw<double>(stream.input(), options(way, set, 0), lse.data());
  return lse;
}

// By way, share group, shape. Only some modes have a π that is known before the draw, or decide every key alone.
using ModeGroupShape = testing::TestWithParam<std::tuple<Way, int64_t, Shape>>;
class DrawStatistics : public ModeGroupShape {};
class DrawFrequencies : public ModeGroupShape {};
class DrawTogether : public ModeGroupShape {};

TEST_P(DrawFrequencies, OfInclusionArePi) {
  const auto [way, share, shape] = GetParam();
  const Setting set = setting(shape, share);
  std::mt19937 random(1);
  const auto stream = reference::random_stream<double>(set.stream, random);
  const int64_t blocks = static_cast<int64_t>(stream.blocks.size()), seeds = 3000, positions = set.longest(), heads = 2;
  const std::vector<double> lse = lse_of(stream, set, way);
  std::vector<int64_t> count(blocks * heads * positions);
  for (int64_t seed = 0; seed < seeds; ++seed) {
    kernels::Picks<double> picks;
    kernels::draw<double>(stream.input(), lse.data(), options(way, set, static_cast<uint64_t>(seed)), picks);
    for (int64_t list = 0; list < blocks * heads; ++list)
      for (int64_t i = picks.start[list]; i < picks.start[list + 1]; ++i) ++count[list * positions + picks.key[i]];
  }
  for (int64_t i = 0; i < blocks; ++i) {
    std::vector<double> pi(positions);
    const auto in = reference::inclusion(stream.input(), i, options(way, set, 0));
    for (size_t j = 0; j < in.key.size(); ++j) pi[in.key[j]] = in.pi[j];
    for (int64_t at = i * heads * positions; at < (i + 1) * heads * positions; ++at) {
      const double want = pi[at % positions], frequency = static_cast<double>(count[at]) / seeds;
      ASSERT_NEAR(frequency, want, 6 * std::sqrt(want * (1 - want) / seeds) + 1e-9)
          << "block " << i << " key " << at % positions << " head " << at / positions % heads;
    }
  }
}

TEST_P(DrawStatistics, CorrectedSumsAreUnbiased) {
  const auto [way, share, shape] = GetParam();
  const Setting set = setting(shape, share);
  std::mt19937 random(2);
  const auto stream = reference::random_stream<double>(set.stream, random);
  const int64_t rows = static_cast<int64_t>(stream.blocks.size()), seeds = 1500, tokens = set.tokens(), width = 3;
  std::normal_distribution<double> normal(0, 0.7);
  std::vector<double> q(rows * width), kv(tokens * 2 * width);
  for (double& x : q) x = normal(random);
  for (double& x : kv) x = normal(random);
  std::vector<int64_t> row_block(rows), none(rows, 0);
  for (int64_t i = 0; i < rows; ++i) row_block[i] = i;
  const std::vector<double> lse = lse_of(stream, set, way);
  std::vector<double> sum(rows * (width + 1)), square(sum.size());
  for (int64_t seed = 0; seed < seeds; ++seed) {
    auto o = options(way, set, static_cast<uint64_t>(seed) + 1000000);
    o.heads = 1;
    kernels::Picks<double> picks;
    kernels::draw<double>(stream.input(), lse.data(), o, picks);
    for (int64_t i = 0; i < rows; ++i)  // positions become units: one kv head, slot = stream position
      for (int64_t p = picks.start[i]; p < picks.start[i + 1]; ++p) picks.key[p] += stream.blocks[i].first_key;
    kernels::AttentionInput<double> in;
    in.rows = rows, in.units = tokens, in.heads = 1, in.kv_heads = 1, in.width = width, in.scale = 0.9;
    in.q = q.data(), in.kv = kv.data(), in.band_begin = none.data(), in.band_end = none.data();
    in.blocks = rows, in.pick_heads = 1, in.row_block = row_block.data(), in.pick_start = picks.start.data();
    const std::vector<int32_t> positions(picks.key.begin(), picks.key.end());
    in.pick_unit = picks.key.data(), in.pick_token = positions.data(), in.num_tokens = tokens;
    in.pick_log_pi = picks.log_pi.data();
    const kernels::PickTiles tiles = kernels::unite_picks(in);
    in.tiles = &tiles;
    std::vector<double> m(rows), l(rows), acc(rows * width);
    kernels::attention_begin<double>(rows, 1, width, m.data(), l.data(), acc.data());
    kernels::attention_picks<double>(in, m.data(), l.data(), acc.data());
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t d = 0; d <= width; ++d) {  // [numerator, denominator]; an empty state is 0
        const double x = std::exp(m[i]) * (d < width ? acc[i * width + d] : l[i]);
        sum[i * (width + 1) + d] += x, square[i * (width + 1) + d] += x * x;
      }
  }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t d = 0; d <= width; ++d) {
      double want = 0;
      for (int64_t j : reference::domain(stream.blocks[i], stream.excluded)) {
        const double* unit = kv.data() + (stream.blocks[i].first_key + j) * 2 * width;
        double z = 0;
        for (int64_t c = 0; c < width; ++c) z += 0.9 * q[i * width + c] * unit[c];
        want += std::exp(z) * (d < width ? unit[width + d] : 1);
      }
      const double mean = sum[i * (width + 1) + d] / seeds;
      const double variance = square[i * (width + 1) + d] / seeds - mean * mean;
      ASSERT_NEAR(mean, want, 6 * std::sqrt(std::max(variance, 0.0) / seeds) + 1e-9) << "row " << i << " sum " << d;
    }
}

// Permanent random numbers: two blocks of one share group pick a key together as often as the rarer of the two picks it,
// blocks of different groups, and the heads of a block, independently.
TEST_P(DrawTogether, GroupsShareNumbersAndHeadsDoNot) {
  const auto [way, share, shape] = GetParam();
  const Setting set = setting(shape, share);
  std::mt19937 random(4);
  const auto stream = reference::random_stream<double>(set.stream, random);
  const int64_t blocks = static_cast<int64_t>(stream.blocks.size()), seeds = 2000, positions = set.longest();
  const std::vector<double> lse = lse_of(stream, set, way);
  std::vector<int64_t> with_next(blocks * positions), with_head(blocks * positions);
  for (uint64_t seed = 0; seed < static_cast<uint64_t>(seeds); ++seed) {
    kernels::Picks<double> picks;
    kernels::draw<double>(stream.input(), lse.data(), options(way, set, seed + 2000000), picks);
    std::vector<char> picked((blocks + 1) * 2 * positions);  // [blocks, heads, positions], a block more without picks
    for (int64_t list = 0; list < blocks * 2; ++list)
      for (int64_t i = picks.start[list]; i < picks.start[list + 1]; ++i) picked[list * positions + picks.key[i]] = 1;
    for (int64_t i = 0; i < blocks; ++i)
      for (int64_t j = 0; j < positions; ++j) {
        const char* at = picked.data() + i * 2 * positions + j;
        with_head[i * positions + j] += at[0] & at[positions];
        with_next[i * positions + j] += at[0] & at[2 * positions];
      }
  }
  const auto expect_frequency = [&](int64_t count, double want, int64_t block, size_t key, const char* what) {
    ASSERT_NEAR(static_cast<double>(count) / static_cast<double>(seeds), want,
                6 * std::sqrt(want * (1 - want) / static_cast<double>(seeds)) + 4.0 / static_cast<double>(seeds))
        << what << ", block " << block << " key " << key;
  };
  std::vector<double> pi(positions), next(positions);
  for (int64_t i = blocks - 1; i >= 0; --i) {
    next.swap(pi), std::fill(pi.begin(), pi.end(), 0.0);
    const auto in = reference::inclusion(stream.input(), i, options(way, set, 0));
    for (size_t j = 0; j < in.key.size(); ++j) pi[in.key[j]] = in.pi[j];
    const auto &block = stream.blocks[i], &after = stream.blocks[std::min(i + 1, blocks - 1)];
    const bool together = block.sample == after.sample && block.group == after.group;
    for (size_t j = 0; j < pi.size(); ++j) {
      expect_frequency(with_head[i * positions + static_cast<int64_t>(j)], pi[j] * pi[j], i, j, "two heads");
      expect_frequency(with_next[i * positions + static_cast<int64_t>(j)],
                       together ? std::min(pi[j], next[j]) : pi[j] * next[j], i, j, "two blocks");
    }
  }
}

const auto kGroups = testing::Values(1, 16, 0);
const auto kShapes = testing::Values(Shape::FewOfMany, Shape::NearlyAll);
INSTANTIATE_TEST_SUITE_P(ModesAndGroups, DrawStatistics,
                         testing::Combine(testing::Values(Way{DrawMode::Poisson}, Way{DrawMode::Poisson, true},
                                                          Way{DrawMode::Systematic}, Way{DrawMode::Systematic, true},
                                                          Way{DrawMode::Gumbel}, Way{DrawMode::Iid},
                                                          Way{DrawMode::Uniform}),
                                          kGroups, kShapes));
INSTANTIATE_TEST_SUITE_P(ModesAndGroups, DrawFrequencies,
                         testing::Combine(testing::Values(Way{DrawMode::Poisson}, Way{DrawMode::Poisson, true},
                                                          Way{DrawMode::Systematic}, Way{DrawMode::Systematic, true},
                                                          Way{DrawMode::Uniform}),
                                          kGroups, kShapes));
INSTANTIATE_TEST_SUITE_P(ModesAndGroups, DrawTogether,
                         testing::Combine(testing::Values(Way{DrawMode::Poisson}, Way{DrawMode::Poisson, true},
                                                          Way{DrawMode::Uniform}),
                                          kGroups, kShapes));

// Certainly, not on average: |E| <= K takes all of E with log π = 0, an empty E nothing, |E| = K + 1 may leave keys out.
TEST(Draw, SmallDomainsAreTakenWhole) {
  const Setting set = setting(Shape::NearlyAll, 1);
  std::mt19937 random(3);
  const auto stream = reference::random_stream<double>(set.stream, random);
  std::vector<double> lse(stream.blocks.size());
  kernels::sketch_scan<double>(stream.input(), lse.data());
  for (const DrawMode mode : {DrawMode::Poisson, DrawMode::Systematic, DrawMode::Gumbel, DrawMode::Iid,
                              DrawMode::Uniform, DrawMode::TopK, DrawMode::BigBird}) {
    int64_t empty = 0, exact = 0, left_out = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      kernels::Picks<double> picks;
      kernels::draw<double>(stream.input(), lse.data(), options({mode}, set, seed), picks);
      for (size_t list = 0; list + 1 < picks.start.size(); ++list) {
        const std::vector<int64_t> domain = reference::domain(stream.blocks[list / 2], stream.excluded);
        const int64_t size = static_cast<int64_t>(domain.size()), count = picks.start[list + 1] - picks.start[list];
        empty += size == 0, exact += size == set.picks, left_out += size == set.picks + 1 && count < size;
        if (size == 0) {
          EXPECT_EQ(lse[list / 2], -std::numeric_limits<double>::infinity()) << "block " << list / 2;
        }
        if (size > set.picks) continue;
        const std::vector<int64_t> keys(picks.key.begin() + picks.start[list],
                                        picks.key.begin() + picks.start[list + 1]);
        EXPECT_EQ(keys, domain) << "block " << list / 2;
        for (int64_t i = picks.start[list]; i < picks.start[list + 1]; ++i) EXPECT_EQ(picks.log_pi[i], 0);
      }
    }
    EXPECT_TRUE(empty > 0 && exact > 0 && left_out > 0) << empty << ", " << exact << ", " << left_out;
  }
}

}  // namespace
}  // namespace smartbird
