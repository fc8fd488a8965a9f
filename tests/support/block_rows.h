// What tests of row kernels share: random rows, errors in units of rounding, and the law that neither threads nor a cut of
// the rows changes a bit.
#pragma once

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "tests/reference/reference_rows.h"

namespace smartbird::testing {

using reference::Doubles;

template <class T>
class BlockRows : public ::testing::Test {
 protected:
  std::mt19937 random{5};
  // An error in units of the type's rounding, of sums of about `terms` terms of size 1.
  static double rounding(int64_t terms) {
    return 8 * static_cast<double>(std::numeric_limits<T>::epsilon()) * static_cast<double>(terms);
  }
  std::vector<T> normals(int64_t count) {
    std::normal_distribution<double> normal;
    std::vector<T> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<T>(normal(random)));
    return out;
  }
  std::vector<int64_t> below(int64_t end, int64_t count, int64_t first = 0) {
    std::vector<int64_t> out;
    for (int64_t i = 0; i < count; ++i)
      out.push_back(first + static_cast<int64_t>(random() % static_cast<uint64_t>(end - first)));
    return out;
  }
  static Doubles doubles(const std::vector<T>& x) { return {x.begin(), x.end()}; }
  static void expect_near(const std::vector<T>& got, const Doubles& want, int64_t terms, const char* what) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(static_cast<double>(got[i]), want[i], rounding(terms) * (1 + std::abs(want[i]))) << what << " " << i;
  }
  // f(first row, rows, sums) fills its rows and adds to sums; whole and cut, on 1 and 3 threads: the same bits.
  static void expect_stable(int64_t rows, const std::vector<T>& zero,
                            const std::function<void(int64_t, int64_t, std::vector<T>&)>& f,
                            const std::function<std::vector<T>()>& result) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    std::vector<T> sums = zero;
    f(0, rows, sums);
    const std::vector<T> whole = result(), whole_sums = sums;
    omp_set_num_threads(3);
    sums = zero;
    for (int64_t first = 0, count = 0; first < rows; first += count) {
      count = std::min<int64_t>(1 + first % 19, rows - first);
      f(first, count, sums);
    }
    omp_set_num_threads(before);
    EXPECT_EQ(whole, result());
    EXPECT_EQ(whole_sums, sums);
  }
};

}  // namespace smartbird::testing
