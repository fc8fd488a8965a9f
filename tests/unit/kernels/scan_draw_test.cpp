// Scan and draw against the formulas, pair by pair, on packed streams of odd shapes.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "kernels/score_panel.h"
#include "tests/reference/reference_draw.h"

namespace smartbird {
namespace {

using kernels::DrawMode;

constexpr DrawMode kModes[] = {DrawMode::Poisson, DrawMode::Systematic, DrawMode::Gumbel,  DrawMode::Iid,
                               DrawMode::TopK,    DrawMode::BigBird,    DrawMode::Uniform, DrawMode::None};

std::vector<reference::StreamShape> shapes() {
  return {{.lengths = {}},
          {.lengths = {1}},
          {.lengths = {300, 1, 129}, .window = 3},
          {.lengths = {257, 40}, .block = 5, .window = 2, .share = 16, .width = 7, .causal = false},
          {.lengths = {390}, .block = 16, .share = 0, .width = 16, .causal = false, .excluded = {0, 7, 127, 128, 380}},
          {.lengths = {200, 130},
           .block = 3,
           .window = 1,
           .share = 64,
           .width = 1,
           .excluded = {0, 1, 2, 150},
           .first_sample = 1ull << 33}};
}

kernels::DrawOptions options(DrawMode mode, int64_t picks, double floor = 0.1) {
  return {.mode = mode, .picks = picks, .floor = floor, .heads = 3, .layer = 2, .key = {11, 12}};
}

TEST(SketchScan, MatchesFormula) {
  std::mt19937 random(1);
  for (const auto& shape : shapes()) {
    const auto stream = reference::random_stream<double>(shape, random);
    reference::Stream<float> narrow{{stream.queries.begin(), stream.queries.end()},
                                    {stream.keys.begin(), stream.keys.end()},
                                    stream.blocks,
                                    stream.excluded,
                                    stream.width};
    std::vector<double> lse(stream.blocks.size()), narrow_lse(lse.size());
    kernels::sketch_scan<double>(stream.input(), lse.data());
    kernels::sketch_scan<float>(narrow.input(), narrow_lse.data());
    for (size_t i = 0; i < lse.size(); ++i) {
      EXPECT_EQ(kernels::domain_size(stream.blocks[i], stream.excluded),
                static_cast<int64_t>(reference::domain(stream.blocks[i], stream.excluded).size()));
      const double want = reference::log_sum_exp(reference::scores(stream.input(), i));
      const double narrow_want = reference::log_sum_exp(reference::scores(narrow.input(), i));
      if (std::isinf(want)) {
        EXPECT_EQ(lse[i], want);
        EXPECT_EQ(narrow_lse[i], want);
        continue;
      }
      EXPECT_NEAR(lse[i], want, 1e-12);
      EXPECT_NEAR(narrow_lse[i], narrow_want, 2e-6);  // scores up to 10: a few units of 1e-7 relative
    }
  }
}

TEST(SketchScan, SurvivesLargeScores) {
  const std::vector<double> keys{3000, -3000, 2999}, query{1};
  const std::vector<kernels::ScanBlock> blocks{{.left_end = 3}};
  double lse = 0;
  kernels::sketch_scan<double>(
      {.queries = query.data(), .keys = keys.data(), .width = 1, .scale = 1, .blocks = blocks, .excluded = {}}, &lse);
  EXPECT_NEAR(lse, 3000 + std::log1p(std::exp(-1.0)), 1e-12);
  const std::vector<float> narrow_keys{3000, -3000, 2999}, narrow_query{1};
  kernels::sketch_scan<float>({.queries = narrow_query.data(),
                               .keys = narrow_keys.data(),
                               .width = 1,
                               .scale = 1,
                               .blocks = blocks,
                               .excluded = {}},
                              &lse);
  EXPECT_NEAR(lse, 3000 + std::log1p(std::exp(-1.0)), 2e-4);  // half a unit of a float near 3000
}

template <class T>
void compare_with_formula(const reference::Stream<T>& stream, const kernels::DrawOptions& o, double tolerance) {
  const auto input = stream.input();
  std::vector<double> lse(stream.blocks.size());
  kernels::sketch_scan<T>(input, lse.data());
  kernels::Picks<T> picks;
  kernels::draw<T>(input, lse.data(), o, picks);
  ASSERT_EQ(picks.start.size(), stream.blocks.size() * o.heads + 1);
  for (size_t list = 0; list + 1 < picks.start.size(); ++list) {
    const auto want = reference::draw(input, list / o.heads, list % o.heads, o);
    ASSERT_EQ(picks.start[list + 1] - picks.start[list], static_cast<int64_t>(want.size())) << "list " << list;
    int64_t at = picks.start[list];
    for (const auto& [key, log_pi] : want) {
      EXPECT_EQ(picks.key[at], key);
      EXPECT_NEAR(picks.log_pi[at], log_pi, tolerance);
      EXPECT_TRUE(picks.log_pi[at] <= 0 || o.mode == DrawMode::Iid) << picks.log_pi[at];
      ++at;
    }
  }
}

TEST(Draw, MatchesFormula) {
  std::mt19937 random(2);
  for (const auto& shape : shapes())
    for (DrawMode mode : kModes)
      for (int64_t picks : {int64_t{0}, int64_t{1}, int64_t{9}, int64_t{1000}, int64_t{1} << 40}) {
        SCOPED_TRACE(testing::Message() << "mode " << static_cast<int>(mode) << " picks " << picks);
        compare_with_formula(reference::random_stream<double>(shape, random), options(mode, picks), 1e-11);
      }
}

TEST(Draw, FloatMatchesFormulaOnTheseSeeds) {  // a pair within 1e-6 of its threshold could differ; none of these is
  std::mt19937 random(3);
  for (DrawMode mode : kModes)
    compare_with_formula(reference::random_stream<float>(shapes()[2], random), options(mode, 9), 1e-5);
}

// Heads that fill no vector, several vectors, and more picks at once than wait anywhere.
TEST(Draw, MatchesFormulaForAnyNumberOfHeads) {
  std::mt19937 random(7);
  for (int heads : {1, 4, 5, 8, 11, 70})
    for (int64_t picks : {3, 90}) {
      SCOPED_TRACE(testing::Message() << "heads " << heads << " picks " << picks);
      auto o = options(DrawMode::Poisson, picks);
      o.heads = heads;
      compare_with_formula(reference::random_stream<double>(shapes()[3], random), o, 1e-11);
    }
}

// Many rows of one share group, all heads alike: a leaf whose keys are nearly all candidates.
TEST(Draw, MatchesFormulaWhereNearlyEveryKeyIsPicked) {
  std::mt19937 random(8);
  const reference::StreamShape shape{.lengths = {400}, .window = 1, .share = 0, .causal = false};
  auto o = options(DrawMode::Poisson, 380, 1.0);
  o.heads = 9;
  compare_with_formula(reference::random_stream<double>(shape, random), o, 1e-11);
}

TEST(Draw, FloorOfZeroAndOne) {
  std::mt19937 random(4);
  for (double floor : {0.0, 1.0})
    for (DrawMode mode : {DrawMode::Poisson, DrawMode::Systematic, DrawMode::Gumbel})
      compare_with_formula(reference::random_stream<double>(shapes()[3], random), options(mode, 9, floor), 1e-11);
}

TEST(Draw, TopKBreaksTiesByPosition) {
  std::mt19937 random(5);
  auto stream = reference::random_stream<double>(shapes()[3], random);
  for (double& x : stream.keys) x = std::round(x);
  for (double& x : stream.queries) x = std::round(x);
  compare_with_formula(stream, options(DrawMode::TopK, 9), 0);
}

// Scores of every kind of order, with what no number is among them, over more leaves than are kept aside.
template <class T>
class DrawTopK : public ::testing::Test {};
using TopKTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(DrawTopK, TopKTypes);

TYPED_TEST(DrawTopK, IsTheHeadOfASort) {
  using T = TypeParam;
  constexpr int64_t kKeys = 1500;
  constexpr T kInf = std::numeric_limits<T>::infinity(), kNan = std::numeric_limits<T>::quiet_NaN();
  std::mt19937 random(8);
  const auto any = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const std::pair<const char*, std::function<T(int64_t)>> kinds[] = {
      {"ascending", [](int64_t j) { return static_cast<T>(j); }},
      {"descending", [](int64_t j) { return static_cast<T>(-j); }},
      {"any order", [&](int64_t) { return static_cast<T>(any(100000)); }},
      {"many alike", [&](int64_t) { return static_cast<T>(any(9)); }},
      {"all alike", [](int64_t) { return T{-2}; }},
      {"no number here and there", [&](int64_t) { return any(3) == 0 ? kNan : static_cast<T>(any(50)); }},
      {"hardly a number", [&](int64_t j) { return j % 200 == 7  ? static_cast<T>(j)
                                                  : any(2) == 0 ? kNan
                                                                : -kInf; }},
      {"no number", [&](int64_t) { return kNan; }},
      {"endless", [&](int64_t j) { return j % 5 == 0   ? kInf
                                          : j % 5 == 1 ? -kInf
                                                       : static_cast<T>(any(4)); }}};
  const std::vector<int64_t> excluded = {5, 128, 1000};
  const std::vector<kernels::ScanBlock> blocks = {
      {.left_begin = 0, .left_end = kKeys},
      {.left_begin = 3, .left_end = 700, .right_begin = 905, .right_end = 1490},
      {.right_begin = 640, .right_end = 1280}};
  const std::vector<T> queries(blocks.size(), T{1});
  for (const auto& [name, score] : kinds) {
    std::vector<T> keys;
    for (int64_t j = 0; j < kKeys; ++j) keys.push_back(score(j));
    for (int64_t picks : {1, 5, 64, 65, 300, 630, 5000}) {
      SCOPED_TRACE(testing::Message() << name << ", " << picks << " picks");
      kernels::Picks<T> drawn;
      const std::vector<double> lse(blocks.size());
      kernels::draw<T>({queries.data(), keys.data(), 1, T{1}, blocks, excluded}, lse.data(),
                       options(DrawMode::TopK, picks), drawn);
      for (size_t list = 0; list < 3 * blocks.size(); ++list) {
        std::vector<int32_t> want;
        for (int32_t j = 0; j < kKeys; ++j)
          if (kernels::in_ranges(blocks[list / 3], j) && !kernels::is_excluded(excluded, j)) want.push_back(j);
        const auto rank = [&](int32_t j) { return std::isnan(keys[j]) ? -kInf : keys[j]; };
        std::stable_sort(want.begin(), want.end(), [&](int32_t a, int32_t b) { return rank(a) > rank(b); });
        want.resize(std::min(want.size(), static_cast<size_t>(picks)));
        std::sort(want.begin(), want.end());
        EXPECT_EQ(
            std::vector<int32_t>(drawn.key.begin() + drawn.start[list], drawn.key.begin() + drawn.start[list + 1]),
            want);
      }
    }
  }
}

TEST(Draw, AppendsToEarlierLists) {
  std::mt19937 random(6);
  const auto stream = reference::random_stream<double>(shapes()[2], random);
  std::vector<double> lse(stream.blocks.size());
  kernels::sketch_scan<double>(stream.input(), lse.data());
  kernels::Picks<double> once, twice;
  kernels::draw<double>(stream.input(), lse.data(), options(DrawMode::Poisson, 9), once);
  for (int i = 0; i < 2; ++i) kernels::draw<double>(stream.input(), lse.data(), options(DrawMode::Poisson, 9), twice);
  ASSERT_EQ(twice.start.size(), 2 * once.start.size() - 1);
  ASSERT_EQ(twice.key.size(), 2 * once.key.size());
  for (size_t i = 0; i < once.start.size(); ++i)
    EXPECT_EQ(twice.start[once.start.size() - 1 + i], once.start[i] + static_cast<int64_t>(once.key.size()));
  for (size_t i = 0; i < once.key.size(); ++i) EXPECT_EQ(twice.key[once.key.size() + i], once.key[i]);
}

}  // namespace
}  // namespace smartbird
