// Laws of a filled budget: Σ min(1, c p) = K(1-ε) however peaked the sketch, and so Σ π is at most K; where no probability is
// cut, and where a domain is taken whole, nothing changes.
#include "kernels/filled_scan.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/reference/reference_draw.h"

namespace smartbird {
namespace {

std::vector<double> probabilities(const kernels::ScanInput<double>& input, int64_t block) {
  std::vector<double> p = reference::scores(input, block);
  const double lse = reference::log_sum_exp(p);
  for (double& x : p) x = std::exp(x - lse);
  return p;
}

double cut_sum(const std::vector<double>& p, double factor) {
  return std::accumulate(p.begin(), p.end(), 0.0,
                         [&](double sum, double x) { return sum + std::min(1.0, factor * x); });
}

struct Seen {
  int64_t filled = 0, nothing_left = 0, left_alone = 0, whole = 0;
};

void expect_filled(const reference::Stream<double>& stream, int64_t picks, double floor, Seen& seen) {
  const auto input = stream.input();
  const kernels::DrawOptions options{.picks = picks, .floor = floor};
  std::vector<double> lse(stream.blocks.size()), before(lse.size());
  kernels::sketch_scan<double>(input, before.data());
  kernels::filled_scan<double>(input, options, lse.data());
  const double budget = static_cast<double>(picks) * (1 - floor);
  for (size_t i = 0; i < lse.size(); ++i) {
    const std::vector<double> p = probabilities(input, static_cast<int64_t>(i));
    if (static_cast<int64_t>(p.size()) <= picks || *std::max_element(p.begin(), p.end()) * budget < 1 - 1e-9) {
      EXPECT_EQ(lse[i], before[i]) << "block " << i;
      ++(static_cast<int64_t>(p.size()) <= picks ? seen.whole : seen.left_alone);
      continue;
    }
    const double factor = budget * std::exp(before[i] - lse[i]);
    EXPECT_GE(factor, budget * (1 - 1e-12)) << "block " << i;
    const double left =
        std::accumulate(p.begin(), p.end(), 0.0, [&](double sum, double x) { return sum + (factor * x < 1 ? x : 0); });
    if (left >= kernels::kLeastLeft) {
      EXPECT_NEAR(cut_sum(p, factor), budget, 1e-9 * budget) << "block " << i << " of " << p.size() << " keys";
      EXPECT_NEAR(factor, reference::filled_factor(p, budget), 1e-7 * factor) << "block " << i;
    } else {
      EXPECT_LE(cut_sum(p, factor), budget * (1 + 1e-9)) << "block " << i << " of " << p.size() << " keys";
      ++seen.nothing_left;
    }
    double sum = 0;
    for (double pi : reference::inclusion(input, static_cast<int64_t>(i), options, true).pi) sum += pi;
    EXPECT_LE(sum, static_cast<double>(picks) * (1 + 1e-9)) << "block " << i;
    ++seen.filled;
  }
}

TEST(FilledScan, ProbabilitiesSumToIt) {
  std::mt19937 random(1);
  Seen seen;
  for (const auto& shape : std::vector<reference::StreamShape>{
           {.lengths = {400, 3, 150}, .window = 2},
           {.lengths = {300}, .block = 4, .window = 1, .width = 8, .causal = false, .excluded = {0, 1, 130, 290}}})
    for (double peaked : {0.2, 1.0, 1.5})
      for (double floor : {0.0, 0.1, 0.5})
        for (int64_t picks : {1, 8, 60}) {
          SCOPED_TRACE(testing::Message() << "peaked " << peaked << " floor " << floor << " picks " << picks);
          auto stream = reference::random_stream<double>(shape, random);
          for (double& x : stream.queries) x *= peaked;
          expect_filled(stream, picks, floor, seen);
        }
  EXPECT_TRUE(seen.filled > 1000 && seen.nothing_left > 0 && seen.left_alone > 1000 && seen.whole > 1000)
      << seen.filled << ", " << seen.nothing_left << ", " << seen.left_alone << ", " << seen.whole;
}

TEST(FilledScan, FloatIsTheDoubleOne) {
  std::mt19937 random(2);
  const auto narrow = reference::random_stream<float>({.lengths = {333}, .width = 8}, random);
  const reference::Stream<double> wide{{narrow.queries.begin(), narrow.queries.end()},
                                       {narrow.keys.begin(), narrow.keys.end()},
                                       narrow.blocks,
                                       narrow.excluded,
                                       narrow.width};
  auto input = wide.input();
  input.scale = static_cast<double>(narrow.input().scale);
  const kernels::DrawOptions options{.picks = 9};
  std::vector<double> lse(narrow.blocks.size()), of_wide(lse.size());
  kernels::filled_scan<float>(narrow.input(), options, lse.data());
  kernels::filled_scan<double>(input, options, of_wide.data());
  for (size_t i = 1; i < lse.size(); ++i) EXPECT_NEAR(lse[i], of_wide[i], 1e-4) << "block " << i;
}

TEST(FilledScan, BudgetsAndProbabilitiesOfEveryKind) {
  using V = std::vector<double>;
  const auto filled_by = [](V p, double budget) { return kernels::filled_by(p, budget); };
  EXPECT_DOUBLE_EQ(filled_by(V{0.8, 0.1, 0.1}, 2), std::log(5.0 / 2));  // 1 + 0.5 + 0.5
  EXPECT_DOUBLE_EQ(filled_by(V{0.5, 0.25, 0.25}, 2), 0);                // 1 + 0.5 + 0.5 already
  EXPECT_EQ(filled_by(V{0.3, 0.3, 0.4}, 1), 0) << "nothing is cut";
  EXPECT_EQ(filled_by(V{}, 3), 0);
  EXPECT_DOUBLE_EQ(filled_by(V{0.5, 0.5, 0}, 2), 0);  // all there is, exactly
  EXPECT_DOUBLE_EQ(filled_by(V{0.6, 0.4, 0}, 2), std::log(2.5 / 2));
  EXPECT_DOUBLE_EQ(filled_by(V{0.5, 0.5, 0, 0}, 3), std::log(1 / (3 * kernels::kLeastLeft)));
  EXPECT_EQ(filled_by(V{1, 0, 0}, 0.5), 0) << "a budget below one key cuts nothing";
  // One key holds all but what rounding leaves: the others get no more than the least that is taken to be left.
  EXPECT_DOUBLE_EQ(filled_by(V{1, 1e-17, 1e-18}, 2), std::log(1 / (2 * kernels::kLeastLeft)));
  EXPECT_EQ(filled_by(V{std::nan(""), std::nan("")}, 2), 0);
}

// A budget of 0, by K or by the floor, asks for nothing.
TEST(FilledScan, NoBudgetChangesNothing) {
  std::mt19937 random(3);
  const auto stream = reference::random_stream<double>({.lengths = {200}}, random);
  std::vector<double> lse(stream.blocks.size()), before(lse.size());
  kernels::sketch_scan<double>(stream.input(), before.data());
  kernels::filled_scan<double>(stream.input(), {.picks = 0}, lse.data());
  EXPECT_EQ(lse, before);
  kernels::filled_scan<double>(stream.input(), {.picks = 5, .floor = 1}, lse.data());
  EXPECT_EQ(lse, before);
}

}  // namespace
}  // namespace smartbird
