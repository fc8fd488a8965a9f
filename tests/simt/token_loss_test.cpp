// Law: loss, hit and gradient of a row are those of the formula in double, whatever the length of the row.
#include "kernels/token_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "device_array.h"
#include "tests/simt/elements.h"

namespace smartbird::kernels {
namespace {

using device_test::DeviceArray;

double value_of(float x) { return x; }
double value_of(uint16_t bits) { return from_bits(bits); }

// NaN is not itself.
template <class T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)), 0);
}

template <class Element>
struct Scored {
  std::vector<Element> gradient;
  std::vector<double> loss;
  std::vector<uint8_t> correct;
};

template <class Element>
Scored<Element> score(const std::vector<Element>& logits, const std::vector<int64_t>& target) {
  const int64_t rows = static_cast<int64_t>(target.size()), count = static_cast<int64_t>(logits.size()) / rows;
  DeviceArray<Element> x(logits);
  DeviceArray<int64_t> wanted(target);
  DeviceArray<double> loss(target.size(), -7.0), again(target.size(), -7.0);
  DeviceArray<uint8_t> correct(target.size(), 9), same(target.size(), 9);
  token_loss<Element>(Stream{}, x.data(), wanted.data(), rows, count, loss.data(), correct.data());
  expect_same_bits(x.values(), logits);  // the loss alone changes nothing
  token_loss_gradient<Element>(Stream{}, x.data(), wanted.data(), rows, count, again.data(), same.data());
  expect_same_bits(again.values(), loss.values());
  EXPECT_EQ(same.values(), correct.values());
  return {x.values(), loss.values(), correct.values()};
}

// of_output: what the type of the gradient rounds.
template <class Element>
void expect_the_formula(double of_output) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 3);
  for (const int64_t count : {1, 2, 255, 256, 257, 2049, 3000}) {
    const std::vector<int64_t> target{0, count - 1, -1, count / 2};
    std::vector<float> numbers(target.size() * static_cast<size_t>(count));
    for (float& x : numbers) x = normal(random);
    const std::vector<Element> logits = elements<Element>(numbers);
    const Scored<Element> got = score<Element>(logits, target);
    for (size_t row = 0; row < target.size(); ++row) {
      std::vector<double> x;
      for (int64_t c = 0; c < count; ++c)
        x.push_back(value_of(logits[row * static_cast<size_t>(count) + static_cast<size_t>(c)]));
      const auto most = std::max_element(x.begin(), x.end());
      double sum = 0;
      for (double value : x) sum += std::exp(value - *most);
      const bool counted = target[row] >= 0;
      const double loss = counted ? std::log(sum) + *most - x[static_cast<size_t>(target[row])] : 0;
      EXPECT_NEAR(got.loss[row], loss, 2e-6 * (1 + std::abs(loss))) << count << " row " << row;
      EXPECT_EQ(got.correct[row], counted && most - x.begin() == target[row]) << count << " row " << row;
      for (int64_t c = 0; c < count; ++c) {
        const double p = counted ? std::exp(x[static_cast<size_t>(c)] - *most) / sum - (c == target[row]) : 0;
        ASSERT_NEAR(value_of(got.gradient[row * static_cast<size_t>(count) + static_cast<size_t>(c)]), p,
                    of_output * std::abs(p) + 2e-6)
            << count << " row " << row << " column " << c;
      }
    }
  }
}

TEST(TokenLoss, IsTheFormulaInFloat) { expect_the_formula<float>(0); }
TEST(TokenLoss, IsTheFormulaInBfloat16) { expect_the_formula<uint16_t>(0x1p-8); }

TEST(TokenLoss, TheFirstLargestIsTheGuess) {
  std::vector<float> x(1000, 1.0F);
  EXPECT_EQ(score<float>(x, {0}).correct[0], 1);
  EXPECT_EQ(score<float>(x, {1}).correct[0], 0);
  x[700] = 2, x[999] = 2;
  EXPECT_EQ(score<float>(x, {700}).correct[0], 1);
  EXPECT_EQ(score<float>(x, {999}).correct[0], 0);
}

TEST(TokenLoss, WhatIsNotFiniteShows) {
  for (const float bad :
       {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
    for (const size_t at : {size_t{0}, size_t{5}, size_t{299}}) {
      std::vector<float> x(300, 0.5F);
      x[at] = bad;
      const auto got = score<float>(x, {5});
      EXPECT_TRUE(std::isnan(got.loss[0])) << bad << " at " << at;
      EXPECT_TRUE(std::isnan(got.gradient[7])) << bad << " at " << at;
      EXPECT_EQ(score<float>(x, {-1}).loss[0], 0) << "a row that does not count";
    }
}

}  // namespace
}  // namespace smartbird::kernels
