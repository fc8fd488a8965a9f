// What is kept of rows of scores against sorting them, on every instruction set.
#include "kernels/largest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "kernels/aligned_array.h"
#include "kernels/instruction_set.h"

namespace smartbird {
namespace {

template <class T>
class Largest : public ::testing::Test {
 protected:
  static constexpr T kInf = std::numeric_limits<T>::infinity(), kNan = std::numeric_limits<T>::quiet_NaN();
  void TearDown() override { kernels::use_instruction_set(before_); }

  // The keys of the `wanted` best of each row of scores [rows][leaves · 128].
  static std::vector<std::vector<int32_t>> chosen(const std::vector<std::vector<T>>& scores, int64_t wanted) {
    const int64_t rows = static_cast<int64_t>(scores.size()), keys = static_cast<int64_t>(scores[0].size());
    kernels::LargestOfRows<T> largest(rows, wanted, keys);
    const auto leaf = kernels::aligned_array<T>(static_cast<size_t>(rows * kernels::kLeafKeys));
    for (int64_t first = 0; first < keys; first += kernels::kLeafKeys) {
      for (int64_t row = 0; row < rows; ++row)
        std::copy_n(scores[static_cast<size_t>(row)].begin() + first, kernels::kLeafKeys,
                    leaf.get() + row * kernels::kLeafKeys);
      largest.add(0, {rows, leaf.get(), first, nullptr});
    }
    std::vector<std::vector<int32_t>> out;
    for (int64_t row = 0; row < rows; ++row) {
      const auto of_row = largest.of(row);
      out.emplace_back(of_row.begin(), of_row.end());
      for (size_t i = 0; i < of_row.size(); ++i) {
        const T score = scores[static_cast<size_t>(row)][static_cast<size_t>(of_row[i])];
        EXPECT_EQ(largest.score(row, i), std::isnan(score) ? -kInf : score);
      }
    }
    return out;
  }

  static std::vector<int32_t> sorted(const std::vector<T>& scores, int64_t wanted) {
    std::vector<int32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    const auto rank = [&](int32_t j) {
      return std::isnan(scores[static_cast<size_t>(j)]) ? -kInf : scores[static_cast<size_t>(j)];
    };
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return rank(a) > rank(b); });
    order.resize(static_cast<size_t>(wanted));
    std::sort(order.begin(), order.end());
    return order;
  }

 private:
  std::string before_ = kernels::instruction_set();
};

using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Largest, Types);

TYPED_TEST(Largest, IsTheHeadOfASortOnEveryInstructionSet) {
  using T = TypeParam;
  for (const std::string& name : kernels::instruction_sets()) {
    kernels::use_instruction_set(name);
    std::mt19937 random(9);
    std::normal_distribution<double> normal;
    const T special[] = {T{0},
                         -T{0},
                         this->kInf,
                         -this->kInf,
                         this->kNan,
                         -this->kNan,
                         std::numeric_limits<T>::denorm_min(),
                         std::numeric_limits<T>::max(),
                         std::numeric_limits<T>::lowest()};
    for (int64_t leaves : {1, 2, 9})
      for (int64_t wanted : {1, 2, 31, 64, 100, 128})
        for (unsigned often : {2U, 10U, 1000U}) {  // one score in so many is no ordinary number
          std::vector<std::vector<T>> scores(3);
          for (std::vector<T>& row : scores)
            for (int64_t j = 0; j < leaves * kernels::kLeafKeys; ++j)
              row.push_back(random() % often == 0 ? special[random() % std::size(special)]
                                                  : static_cast<T>(normal(random)));
          const auto got = this->chosen(scores, wanted);
          for (size_t row = 0; row < scores.size(); ++row)
            EXPECT_EQ(got[row], this->sorted(scores[row], wanted))
                << name << ", " << leaves << " leaves, best " << wanted << ", one in " << often;
        }
  }
}

// Both zeros are one score, of which the first positions are kept.
TYPED_TEST(Largest, ZerosAreAlike) {
  using T = TypeParam;
  std::vector<T> scores(kernels::kLeafKeys, T{-1});
  scores[3] = -T{0}, scores[7] = T{0}, scores[90] = -T{0}, scores[91] = T{0};
  EXPECT_EQ(this->chosen({scores}, 2)[0], (std::vector<int32_t>{3, 7}));
  EXPECT_EQ(this->chosen({scores}, 3)[0], (std::vector<int32_t>{3, 7, 90}));
}

}  // namespace
}  // namespace smartbird
