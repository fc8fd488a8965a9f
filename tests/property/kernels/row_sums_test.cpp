// Law: sums over rows are their formulas in a fixed order, and each has its adjoint.
#include "kernels/row_sums.h"

#include "tests/support/block_rows.h"

namespace smartbird {
namespace {

using reference::Doubles;
using testing::BlockRows;

template <class T>
using RowSums = BlockRows<T>;
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(RowSums, Types);

TYPED_TEST(RowSums, SumsByIndex) {
  using T = TypeParam;
  const int64_t rows = 203, entries = 11;
  for (const int64_t width : {1, 37, 130}) {
    const auto x = this->normals(rows * width);
    const auto index = this->below(entries, rows);
    Doubles want(static_cast<size_t>(entries * width));
    for (int64_t i = 0; i < rows * width; ++i)
      want[static_cast<size_t>(index[static_cast<size_t>(i / width)] * width + i % width)] +=
          static_cast<double>(x[static_cast<size_t>(i)]);
    std::vector<T> table(want.size());
    const auto add = [&](int64_t first, int64_t count, std::vector<T>& to) {
      kernels::add_rows_by_index<T>(index.data() + first, x.data() + first * width, count, width, to.data());
    };
    add(0, rows, table);
    this->expect_near(table, want, 30, "table");
    this->expect_stable(rows, std::vector<T>(want.size()), add, [] { return std::vector<T>(); });
  }
}

TYPED_TEST(RowSums, MeansAndConvolutionHaveTheirAdjoints) {
  using T = TypeParam;
  const int64_t rows = 29, width = 21, taps = 3, lists = 4;
  const std::vector<int64_t> start{0, 5, 5, 6, 20};
  const auto row = this->below(rows, 20), tap = this->below(rows, rows * taps, -1);
  const auto x = this->normals(rows * width), grad = this->normals(rows * width), w = this->normals(taps * width);
  std::vector<T> means(lists * width), back(rows * width);
  kernels::mean_of_rows<T>(start.data(), row.data(), x.data(), lists, width, means.data());
  kernels::mean_of_rows_gradient<T>(start.data(), row.data(), grad.data(), lists, width, back.data());
  Doubles want_means(means.size()), want_back(back.size()), want_x(x.size()), want_w(w.size());
  for (int64_t l = 0; l < lists; ++l)
    for (int64_t i = start[l]; i < start[l + 1]; ++i)
      for (int64_t c = 0; c < width; ++c) {
        const double length = static_cast<double>(start[l + 1] - start[l]);
        want_means[l * width + c] += static_cast<double>(x[row[i] * width + c]) / length;
        want_back[row[i] * width + c] += static_cast<double>(grad[l * width + c]) / length;
      }
  this->expect_near(means, want_means, 20, "means");
  this->expect_near(back, want_back, 20, "their gradient");
  for (int64_t i = 0; i < rows * taps; ++i)
    for (int64_t c = 0; c < width && tap[i] >= 0; ++c) {
      const double g = static_cast<double>(grad[i / taps * width + c]);
      want_x[tap[i] * width + c] += g * static_cast<double>(w[i % taps * width + c]);
      want_w[i % taps * width + c] += g * static_cast<double>(x[tap[i] * width + c]);
    }
  std::vector<T> dw(w.size());
  const auto convolve = [&](int64_t first, int64_t count, std::vector<T>& dx) {
    if (first == 0) std::fill(dw.begin(), dw.end(), T{0});
    kernels::convolution_gradient<T>(x.data(), tap.data() + first * taps, w.data(), grad.data() + first * width, count,
                                     taps, width, dx.data(), dw.data());
  };
  std::vector<T> dx(x.size());
  convolve(0, rows, dx);
  this->expect_near(dx, want_x, 20, "dx");
  this->expect_near(dw, want_w, 40, "dw");
  this->expect_stable(rows, std::vector<T>(x.size()), convolve, [&] { return dw; });
}

TYPED_TEST(RowSums, SumOfSquares) {
  using T = TypeParam;
  for (const int64_t count : {0, 3, 4096, 20011}) {
    const auto x = this->normals(count);
    double want = 0;
    for (T value : x) want += static_cast<double>(value) * static_cast<double>(value);
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    const double one = kernels::sum_of_squares<T>(x.data(), count);
    omp_set_num_threads(3);
    EXPECT_EQ(one, kernels::sum_of_squares<T>(x.data(), count));
    omp_set_num_threads(before);
    EXPECT_NEAR(one, want, 1e-13 * want);
  }
}

}  // namespace
}  // namespace smartbird
