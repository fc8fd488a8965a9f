// What is kept of rows of scores, and what the others sum to, against sorting them, on every instruction set.
#include "kernels/certain_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>

#include "kernels/instruction_set.h"

namespace smartbird {
namespace {

template <class T>
struct Kept {
  std::vector<T> scores;
  T hopeless = 0;
  kernels::ScoreSum rest;
};

template <class T>
class CertainKeys : public ::testing::Test {
 protected:
  static constexpr T kInf = std::numeric_limits<T>::infinity(), kNan = std::numeric_limits<T>::quiet_NaN();
  void TearDown() override { kernels::use_instruction_set(before_); }

  // Of each row of scores [rows][leaves · 128].
  static std::vector<Kept<T>> kept(const std::vector<std::vector<T>>& scores, double budget) {
    const int64_t rows = static_cast<int64_t>(scores.size()), keys = static_cast<int64_t>(scores[0].size());
    kernels::CertainKeys<T> certain(rows, budget, keys);
    const auto leaf = kernels::aligned_array<T>(static_cast<size_t>(rows * kernels::kLeafKeys));
    std::vector<kernels::LeafSum> sums(scores.size());
    for (int64_t first = 0; first < keys; first += kernels::kLeafKeys) {
      for (size_t row = 0; row < scores.size(); ++row)
        std::copy_n(scores[row].begin() + first, kernels::kLeafKeys,
                    leaf.get() + static_cast<int64_t>(row) * kernels::kLeafKeys);
      kernels::reduce_leaves(leaf.get(), rows, sums.data());
      certain.add(0, rows, leaf.get(), sums.data());
    }
    std::vector<Kept<T>> out;
    for (int64_t row = 0; row < rows; ++row) {
      const auto of_row = certain.of(row);
      out.push_back({{of_row.begin(), of_row.end()}, certain.hopeless(row), certain.rest(row)});
    }
    return out;
  }

  // What is certain by a good margin, of scores without NaN, by a sort.
  static int64_t certainly(std::vector<T> scores, double budget) {
    std::sort(scores.begin(), scores.end());
    const double top = static_cast<double>(scores.back());
    double left = 0;
    int64_t first = static_cast<int64_t>(scores.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      const double p = std::exp2(static_cast<double>(scores[i]) - top),
                   rank = static_cast<double>(scores.size() - i - 1);
      left += p;
      if ((budget - rank) * p > left * (1 + 1e-3)) first = std::min(first, static_cast<int64_t>(i));
    }
    return static_cast<int64_t>(scores.size()) - first;
  }

  static void expect_right(const std::vector<T>& scores, const Kept<T>& got, double budget, int64_t& most) {
    std::vector<T> best = scores, mine = got.scores;
    std::sort(best.begin(), best.end(), std::greater<>());
    std::sort(mine.begin(), mine.end(), std::greater<>());
    EXPECT_GE(static_cast<int64_t>(mine.size()), certainly(scores, budget));
    EXPECT_LE(static_cast<double>(mine.size()), budget + 1);
    best.resize(mine.size() + 1);
    EXPECT_GE(got.hopeless, best.back()) << "no other key exceeds it";
    best.pop_back();
    EXPECT_EQ(mine, best) << "the likeliest, whichever they are";
    std::vector<T> others = scores;
    std::sort(others.begin(), others.end());
    others.resize(others.size() - mine.size());
    const double unit = static_cast<double>(others.back());
    double sum = 0;
    for (T x : others) sum += std::exp2(static_cast<double>(x) - unit);
    if (unit == -kInf)
      EXPECT_EQ(got.rest.sum, 0);
    else
      EXPECT_NEAR(std::log2(got.rest.sum) + got.rest.exponent, std::log2(sum) + unit, sizeof(T) == 4 ? 2e-6 : 1e-13)
          << "what the others sum to, however little";
    most = std::max(most, static_cast<int64_t>(mine.size()));
  }

 private:
  std::string before_ = kernels::instruction_set();
};

using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(CertainKeys, Types);

TYPED_TEST(CertainKeys, AreAmongTheKeptOnEveryInstructionSet) {
  using T = TypeParam;
  for (const std::string& name : kernels::instruction_sets()) {
    kernels::use_instruction_set(name);
    std::mt19937 random(4);
    std::normal_distribution<double> normal;
    int64_t most = 0;
    for (int64_t leaves : {1, 2, 9})
      for (double budget : {1.001, 1.9, 8.0, 28.8, 128.0, 200.5})
        for (double peaked : {0.1, 1.0, 4.0, 30.0, 1000.0}) {
          if (budget >= static_cast<double>(leaves * kernels::kLeafKeys)) continue;  // a row draws from more keys
          std::vector<std::vector<T>> scores(5);
          for (std::vector<T>& row : scores)
            for (int64_t j = 0; j < leaves * kernels::kLeafKeys; ++j)
              row.push_back(static_cast<T>(peaked * normal(random)));
          std::sort(scores[1].begin(), scores[1].end());
          std::sort(scores[2].begin(), scores[2].end(), std::greater<>());
          for (size_t j = 1; j < scores[3].size(); ++j) scores[3][j] = random() % 3 == 0 ? scores[3][0] : -this->kInf;
          const auto got = this->kept(scores, budget);
          for (size_t row = 0; row < scores.size(); ++row) {
            SCOPED_TRACE(testing::Message() << name << ", " << leaves << " leaves, budget " << budget << ", peaked "
                                            << peaked << ", row " << row);
            this->expect_right(scores[row], got[row], budget, most);
          }
        }
    EXPECT_GT(most, 100) << name;
  }
}

// Whatever is no number is not kept, and nothing overflows that comes with it.
TYPED_TEST(CertainKeys, NothingIsWrittenBesideWithoutNumbers) {
  using T = TypeParam;
  std::mt19937 random(5);
  const T special[] = {
      T{1}, this->kInf, -this->kInf, this->kNan, std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest()};
  for (unsigned kinds = 1; kinds <= std::size(special); ++kinds) {
    std::vector<std::vector<T>> scores(3);
    for (std::vector<T>& row : scores)
      for (int64_t j = 0; j < 9 * kernels::kLeafKeys; ++j) row.push_back(special[random() % kinds]);
    for (const Kept<T>& row : this->kept(scores, 8.1))
      for (T score : row.scores) EXPECT_FALSE(std::isnan(score));
  }
}

}  // namespace
}  // namespace smartbird
