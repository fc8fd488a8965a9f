// AdamW and the row-stable pieces of the sketch, against plain loops.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/adamw.h"
#include "kernels/sketch_rows.h"
#include "tests/reference/reference_attention.h"

namespace smartbird {
namespace {

using reference::max_error;

template <class T>
std::vector<T> normals(int64_t count, std::mt19937& random) {
  std::normal_distribution<double> normal;
  std::vector<T> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<T>(normal(random)));
  return out;
}

TEST(AdamW, MatchesTheFormulaOverSteps) {
  std::mt19937 random(1);
  const int64_t n = 37;
  kernels::AdamW o{
      .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .decay = 0.1, .grad_scale = 0.5};
  auto w = normals<double>(n, random);
  auto want = w;
  std::vector<double> m(n), v(n), want_m(n), want_v(n);
  for (o.step = 1; o.step <= 5; ++o.step) {
    const auto g = normals<double>(n, random);
    kernels::adamw<double>(o, n, g.data(), w.data(), m.data(), v.data());
    for (int64_t i = 0; i < n; ++i) {
      const double scaled = 0.5 * g[i];
      want_m[i] = 0.9 * want_m[i] + 0.1 * scaled, want_v[i] = 0.95 * want_v[i] + 0.05 * scaled * scaled;
      const double mean = want_m[i] / (1 - std::pow(0.9, o.step)), square = want_v[i] / (1 - std::pow(0.95, o.step));
      want[i] -= 0.01 * (mean / (std::sqrt(square) + 1e-8) + 0.1 * want[i]);
    }
  }
  EXPECT_LT(max_error(w, want), 1e-14);
  EXPECT_LT(max_error(m, want_m), 1e-14);
  EXPECT_LT(max_error(v, want_v), 1e-14);
}

TEST(AdamW, AnySplitGivesTheSameBits) {
  std::mt19937 random(2);
  const int64_t n = 101;
  const kernels::AdamW o{.learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .decay = 0.1, .step = 3};
  const auto g = normals<float>(n, random), w0 = normals<float>(n, random), m0 = normals<float>(n, random);
  auto w = w0, m = m0, v = std::vector<float>(n, 0.5f), part_w = w0, part_m = m0, part_v = v;
  kernels::adamw<float>(o, n, g.data(), w.data(), m.data(), v.data());
  for (int64_t at = 0, size = 0; at < n; at += size) {
    size = std::min<int64_t>(1 + at % 19, n - at);
    kernels::adamw<float>(o, size, g.data() + at, part_w.data() + at, part_m.data() + at, part_v.data() + at);
  }
  EXPECT_EQ(part_w, w);
  EXPECT_EQ(part_m, m);
  EXPECT_EQ(part_v, v);
}

TEST(SketchRows, LinearMatchesAndRowsAreStable) {
  std::mt19937 random(3);
  for (int64_t out : {1, 8, 19}) {
    const int64_t rows = 23, in = 31;
    const auto x = normals<double>(rows * in, random), w = normals<double>(out * in, random);
    std::vector<double> y(rows * out), want(rows * out), slice(7 * out);
    kernels::row_linear<double>(x.data(), w.data(), rows, in, out, y.data());
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < out; ++o)
        for (int64_t i = 0; i < in; ++i) want[r * out + o] += x[r * in + i] * w[o * in + i];
    EXPECT_LT(max_error(y, want), 1e-13);
    kernels::row_linear<double>(x.data() + 5 * in, w.data(), 7, in, out, slice.data());
    EXPECT_EQ(slice, std::vector<double>(y.begin() + 5 * out, y.begin() + 12 * out));
    kernels::row_linear<double>(nullptr, w.data(), 0, in, out, nullptr);
  }
}

TEST(SketchRows, NormMatchesAndRowsAreStable) {
  std::mt19937 random(4);
  const int64_t rows = 9, width = 21;
  const auto x = normals<float>(rows * width, random), w = normals<float>(width, random);
  std::vector<float> y(x.size()), r(rows), slice(2 * width), slice_r(2);
  kernels::row_norm<float>(x.data(), w.data(), 1e-5, rows, width, y.data(), r.data());
  std::vector<double> want(x.size()), want_r(rows);
  for (int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (int64_t c = 0; c < width; ++c) sum += double(x[i * width + c]) * x[i * width + c];
    want_r[i] = 1 / std::sqrt(sum / width + 1e-5);
    for (int64_t c = 0; c < width; ++c) want[i * width + c] = x[i * width + c] * want_r[i] * w[c];
  }
  EXPECT_LT(max_error(y, want), 3e-6);  // values up to 10, a sum of 21 roundings
  EXPECT_LT(max_error(r, want_r), 1e-6);
  kernels::row_norm<float>(x.data() + 3 * width, w.data(), 1e-5, 2, width, slice.data(), slice_r.data());
  EXPECT_EQ(slice, std::vector<float>(y.begin() + 3 * width, y.begin() + 5 * width));
}

TEST(SketchRows, ConvolutionMatchesAndRowsAreStable) {
  std::mt19937 random(5);
  const int64_t x_rows = 17, rows = 12, taps = 4, width = 11;
  const auto x = normals<double>(x_rows * width, random), w = normals<double>(taps * width, random);
  std::vector<int64_t> tap;
  for (int64_t i = 0; i < rows * taps; ++i) tap.push_back(static_cast<int64_t>(random() % (x_rows + 1)) - 1);
  std::vector<double> y(rows * width), want(y.size()), slice(3 * width);
  kernels::row_convolution<double>(x.data(), tap.data(), w.data(), rows, taps, width, y.data());
  for (int64_t i = 0; i < rows * taps; ++i)
    for (int64_t c = 0; c < width && tap[i] >= 0; ++c)
      want[i / taps * width + c] += x[tap[i] * width + c] * w[i % taps * width + c];
  EXPECT_LT(max_error(y, want), 1e-14);
  kernels::row_convolution<double>(x.data(), tap.data() + 4 * taps, w.data(), 3, taps, width, slice.data());
  EXPECT_EQ(slice, std::vector<double>(y.begin() + 4 * width, y.begin() + 7 * width));
}

TEST(SketchRows, RotaryMatchesIsStableAndHasItsAdjoint) {
  std::mt19937 random(6);
  const int64_t rows = 10, width = 14;
  const auto x = normals<double>(rows * width, random), z = normals<double>(rows * width, random);
  std::vector<int64_t> position;
  for (int64_t i = 0; i < rows; ++i) position.push_back(i * 1001);
  auto y = x, back = z, slice = std::vector<double>(x.begin() + 4 * width, x.begin() + 6 * width);
  kernels::row_rotary<double>(y.data(), position.data(), rows, width, 10000, 1);
  kernels::row_rotary<double>(back.data(), position.data(), rows, width, 10000, -1);
  kernels::row_rotary<double>(slice.data(), position.data() + 4, 2, width, 10000, 1);
  EXPECT_EQ(slice, std::vector<double>(y.begin() + 4 * width, y.begin() + 6 * width));
  double left = 0, right = 0;
  for (int64_t i = 0; i < rows * width; ++i) {
    const int64_t m = i % width / 2, other = i ^ 1;
    const double angle = position[i / width] * std::pow(10000.0, -2.0 * m / width);
    EXPECT_NEAR(y[i], x[i] * std::cos(angle) + (i % 2 ? 1 : -1) * x[other] * std::sin(angle), 1e-14);
    left += y[i] * z[i], right += x[i] * back[i];
  }
  EXPECT_NEAR(left, right, 1e-12);
  kernels::row_rotary<double>(y.data(), position.data(), rows, width, 10000, -1);
  EXPECT_LT(max_error(y, x), 1e-14);
}

}  // namespace
}  // namespace smartbird
