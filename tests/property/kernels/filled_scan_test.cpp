// Laws of a filled budget: Σ min(1, c p) = K(1-ε) however peaked the sketch, never more, and so Σ π is at most K; where no
// probability is cut, and where a domain is taken whole, nothing changes.
#include "kernels/filled_scan.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/reference/reference_draw.h"

namespace smartbird {
namespace {

template <class T>
std::vector<double> log_probabilities(const kernels::ScanInput<T>& input, int64_t block) {
  std::vector<double> p = reference::scores(input, block);
  const double lse = reference::log_sum_exp(p);
  for (double& x : p) x -= lse;
  return p;
}

// Σ min(1, c p) of logarithms.
double cut_sum(const std::vector<double>& p, double factor) {
  return std::accumulate(p.begin(), p.end(), 0.0,
                         [&](double sum, double x) { return sum + std::exp(std::min(0.0, factor + x)); });
}

struct Seen {
  int64_t filled = 0, left_alone = 0, whole = 0;
};

// exact: to this share are scores, and so probabilities, what their definition in double says.
template <class T>
void expect_filled(const reference::Stream<T>& stream, int64_t picks, double floor, double exact, Seen& seen) {
  const auto input = stream.input();
  const kernels::DrawOptions options{.picks = picks, .floor = floor, .fill = true};
  std::vector<double> lse(stream.blocks.size()), before(lse.size());
  kernels::sketch_scan<T>(input, before.data());
  kernels::scan_for_draw<T>(input, options, lse.data());
  const double budget = static_cast<double>(picks) * (1 - floor);
  for (size_t i = 0; i < lse.size(); ++i) {
    const std::vector<double> p = log_probabilities(input, static_cast<int64_t>(i));
    EXPECT_LE(lse[i], before[i]) << "block " << i << ": a filled budget lowers no probability";
    if (static_cast<int64_t>(p.size()) <= picks || *std::max_element(p.begin(), p.end()) + std::log(budget) < -exact) {
      EXPECT_EQ(lse[i], before[i]) << "block " << i;
      ++(static_cast<int64_t>(p.size()) <= picks ? seen.whole : seen.left_alone);
      continue;
    }
    const double factor = std::log(budget) + before[i] - lse[i];
    EXPECT_NEAR(cut_sum(p, factor), budget, budget * exact)
        << "block " << i << " of " << p.size() << " keys, log c " << factor;
    ++seen.filled;
  }
}

std::vector<reference::StreamShape> shapes() {
  return {{.lengths = {400, 3, 150}, .window = 2},
          {.lengths = {300}, .block = 4, .window = 1, .width = 8, .causal = false, .excluded = {0, 1, 130, 290}}};
}

template <class T>
void expect_all_filled(double exact) {
  std::mt19937 random(1);
  Seen seen;
  for (const auto& shape : shapes())
    for (double peaked : {0.2, 1.0, 1.5, 5.0, 100.0})
      // 9 · (1 - 0.3333) and 150 · (1 - 0.18) lie just above a whole number.
      for (const auto& [picks, floor] : std::vector<std::pair<int64_t, double>>{
               {1, 0}, {8, 0.1}, {8, 0.5}, {60, 0}, {60, 0.1}, {9, 0.3333}, {150, 0.18}}) {
        SCOPED_TRACE(testing::Message() << "peaked " << peaked << " floor " << floor << " picks " << picks);
        auto stream = reference::random_stream<T>(shape, random);
        for (T& x : stream.queries) x *= static_cast<T>(peaked);
        expect_filled(stream, picks, floor, exact * std::max(1.0, peaked / 5), seen);
      }
  EXPECT_TRUE(seen.filled > 1000 && seen.left_alone > 1000 && seen.whole > 1000)
      << seen.filled << ", " << seen.left_alone << ", " << seen.whole;
}

TEST(FilledScan, ProbabilitiesSumToIt) { expect_all_filled<double>(1e-9); }
// Scores up to 100 are rounded to some 1e-5.
TEST(FilledScan, InFloatToo) { expect_all_filled<float>(2e-4); }

using V = std::vector<double>;
double filled_by(V p, double budget, double others = 0) {
  for (double& x : p) x = std::log(x);
  return kernels::filled_by(p, std::log(others), 0, budget);
}

// Also where a ratio of probabilities is no double.
TEST(FilledScan, BudgetsAndProbabilitiesOfEveryKind) {
  EXPECT_DOUBLE_EQ(filled_by({0.8, 0.1, 0.1}, 2), std::log(5.0 / 2));   // 1 + 0.5 + 0.5
  EXPECT_DOUBLE_EQ(filled_by({0.1, 0.8}, 2, 0.1), std::log(5.0 / 2));   // the same, one key unseen
  EXPECT_DOUBLE_EQ(filled_by({0.5, 0.25, 0.25}, 2), 0);                 // 1 + 0.5 + 0.5 already
  EXPECT_DOUBLE_EQ(filled_by({0.6, 0.4, 0}, 2), std::log(2.5 / 2));     // all there is
  EXPECT_DOUBLE_EQ(filled_by({0.5, 0.5, 1e-9}, 3), std::log(1e9 / 3));  // all three
  V far{-0.5, -5000, -9000};
  EXPECT_DOUBLE_EQ(kernels::filled_by(far, -20000, -0.5, 2.5), std::log(0.5 / 2.5) - 0.5 + 9000);
  EXPECT_EQ(filled_by({0.3, 0.3, 0.4}, 1), 0) << "nothing is cut";
  EXPECT_EQ(filled_by({}, 3), 0);
  EXPECT_EQ(filled_by({1, 0, 0}, 0.5), 0) << "a budget below one key cuts nothing";
  EXPECT_EQ(filled_by({std::nan(""), std::nan("")}, 2), 0);
  EXPECT_NEAR(filled_by({0.6, 0.4, 0}, std::nextafter(2, 3)), std::log(2.5 / 2), 1e-14) << "just above a whole number";
}

// A key that becomes likelier draws no fewer keys.
TEST(FilledScan, GrowsWithAKey) {
  double before = 0;
  for (double p = 1e-12; p < 0.2; p *= 1.01) {
    const V all{0.5 - p / 2, 0.5 - p / 2, p, 1e-13, 1e-13};
    V logs;
    for (double x : all) logs.push_back(std::log(x));
    const double budget = 4.2, sum = cut_sum(logs, std::log(budget) + filled_by(all, budget));
    EXPECT_GE(sum, before * (1 - 1e-9)) << p;
    EXPECT_LE(sum, budget * (1 + 1e-9)) << p;
    before = sum;
  }
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
