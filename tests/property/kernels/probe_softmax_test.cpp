// Law: softmax over keys that come in pieces is the softmax over all of them, for rows that see different numbers of keys;
// threads change no bit.
#include "kernels/probe_softmax.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace smartbird {
namespace {

template <class T>
class ProbeSoftmax : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ProbeSoftmax, Types);

template <class T>
struct Pieces {
  std::vector<T> max, sum, mass;
};

// The keys [0, keys) in pieces of `piece`; rows h, h + step, ... give the mass of group h.
template <class T>
Pieces<T> in_pieces(const std::vector<T>& s, const std::vector<int64_t>& seen, int64_t rows, int64_t step, int64_t keys,
                    int64_t piece) {
  Pieces<T> out;
  out.max.assign(static_cast<size_t>(rows), -std::numeric_limits<T>::infinity());
  out.sum.assign(static_cast<size_t>(rows), T{0});
  out.mass.assign(static_cast<size_t>(step * keys), T{0});
  for (const bool state : {true, false})
    for (int64_t begin = 0; begin < keys; begin += piece) {
      const int64_t count = std::min(piece, keys - begin);
      std::vector<T> part;
      std::vector<int64_t> left;
      for (int64_t r = 0; r < rows; ++r) {
        part.insert(part.end(), s.begin() + r * keys + begin, s.begin() + r * keys + begin + count);
        left.push_back(seen[static_cast<size_t>(r)] - begin);
      }
      if (state) {
        kernels::softmax_state<T>(part.data(), left.data(), rows, count, out.max.data(), out.sum.data());
        continue;
      }
      for (int64_t h = 0; h < step; ++h)
        kernels::add_softmax<T>(part.data() + h * count, left.data() + h, rows / step, step, count, out.max.data() + h,
                                out.sum.data() + h, out.mass.data() + h * keys + begin);
    }
  return out;
}

TYPED_TEST(ProbeSoftmax, IsTheFormula) {
  using T = TypeParam;
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  const double rounding = 50 * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (const int64_t step : {1, 2})
    for (const int64_t keys : {1, 13, 1100}) {
      const int64_t rows = 6;
      std::vector<T> s;
      for (int64_t i = 0; i < rows * keys; ++i) s.push_back(static_cast<T>(3 * normal(random)));
      std::vector<int64_t> seen;
      for (int64_t r = 0; r < rows; ++r) seen.push_back(r == 5 ? keys : 1 + static_cast<int64_t>(random()) % keys);
      std::vector<double> want(static_cast<size_t>(step * keys));
      for (int64_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (int64_t j = 0; j < seen[static_cast<size_t>(r)]; ++j)
          sum += std::exp(static_cast<double>(s[static_cast<size_t>(r * keys + j)]));
        for (int64_t j = 0; j < seen[static_cast<size_t>(r)]; ++j)
          want[static_cast<size_t>(r % step * keys + j)] +=
              std::exp(static_cast<double>(s[static_cast<size_t>(r * keys + j)])) / sum;
      }
      const int before = omp_get_max_threads();
      for (const int64_t piece : {keys, (keys + 2) / 3}) {
        omp_set_num_threads(1);
        const Pieces<T> one = in_pieces(s, seen, rows, step, keys, piece);
        omp_set_num_threads(3);
        const Pieces<T> three = in_pieces(s, seen, rows, step, keys, piece);
        omp_set_num_threads(before);
        for (size_t i = 0; i < want.size(); ++i)
          EXPECT_NEAR(static_cast<double>(one.mass[i]), want[i], rounding * (1e-2 + want[i])) << i;
        EXPECT_EQ(one.max, three.max);
        EXPECT_EQ(one.sum, three.sum);
        EXPECT_EQ(one.mass, three.mass);
      }
    }
}

// A row that sees nothing keeps its empty state.
TYPED_TEST(ProbeSoftmax, ARowMaySeeNothing) {
  using T = TypeParam;
  const std::vector<T> s{1, 2, 3};
  const int64_t seen = 0;
  T max = -std::numeric_limits<T>::infinity(), sum = 0;
  kernels::softmax_state<T>(s.data(), &seen, 1, 3, &max, &sum);
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(max, -std::numeric_limits<T>::infinity());
}

}  // namespace
}  // namespace smartbird
