// Law: the row kernels of a block are their formulas in both element types, for odd widths and no rows; neither the number
// of threads nor a cut of the rows into several calls changes a bit.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

#include "kernels/normalize.h"
#include "kernels/rotary.h"
#include "kernels/row_sums.h"
#include "kernels/swiglu.h"
#include "kernels/token_loss.h"
#include "tests/reference/reference_rows.h"

namespace smartbird {
namespace {

using kernels::NormKind;
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

using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(BlockRows, Types);

TYPED_TEST(BlockRows, Norm) {
  using T = TypeParam;
  for (const int64_t width : {1, 7, 48, 131})
    for (const NormKind kind : {NormKind::Rms, NormKind::Layer}) {
      const int64_t rows = 61;
      const reference::Norm norm{kind == NormKind::Layer, 1e-2};
      const auto x = this->normals(rows * width), w = this->normals(width), dy = this->normals(rows * width),
                 add = this->normals(rows * width);
      std::vector<T> y(x.size()), stats(2 * rows), dx(x.size());
      const auto both = [&](int64_t first, int64_t count, std::vector<T>& dw) {
        kernels::normalize_rows<T>(kind, norm.epsilon, x.data() + first * width, w.data(), count, width,
                                   y.data() + first * width, stats.data() + 2 * first);
        kernels::normalize_gradient<T>(kind, x.data() + first * width, w.data(), stats.data() + 2 * first,
                                       dy.data() + first * width, add.data() + first * width, count, width,
                                       dx.data() + first * width, dw.data());
      };
      std::vector<T> dw(static_cast<size_t>(width));
      both(0, rows, dw);
      Doubles want_dw(static_cast<size_t>(width)),
          want_dx =
              reference::normalize_gradient(norm, this->doubles(x), this->doubles(w), this->doubles(dy), rows, want_dw);
      for (size_t i = 0; i < want_dx.size(); ++i) want_dx[i] += static_cast<double>(add[i]);
      this->expect_near(y, reference::normalize(norm, this->doubles(x), this->doubles(w), rows), 10, "y");
      this->expect_near(dx, want_dx, 40, "dx");
      this->expect_near(dw, want_dw, 10 * rows, "dweight");
      this->expect_stable(rows, std::vector<T>(static_cast<size_t>(width)), both, [&] {
        std::vector<T> all = y;
        all.insert(all.end(), dx.begin(), dx.end());
        return all;
      });
      std::vector<T> plain(dx.size());
      kernels::normalize_gradient<T>(kind, x.data(), w.data(), stats.data(), dy.data(), nullptr, rows, width,
                                     plain.data(), dw.data());
      for (size_t i = 0; i < want_dx.size(); ++i) want_dx[i] -= static_cast<double>(add[i]);
      this->expect_near(plain, want_dx, 40, "dx alone");
    }
  kernels::normalize_rows<T>(NormKind::Rms, 1, nullptr, nullptr, 0, 5, nullptr, nullptr);
}

TYPED_TEST(BlockRows, SwiGlu) {
  using T = TypeParam;
  const int64_t count = 10007;
  auto gate = this->normals(count), up = this->normals(count), dact = this->normals(count);
  gate[0] = 300, gate[1] = -300, gate[2] = 0;
  Doubles act, dgate, dup;
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = static_cast<double>(gate[i]), u = static_cast<double>(up[i]), d = static_cast<double>(dact[i]);
    act.push_back(reference::swiglu(g, u)), dup.push_back(d * reference::swiglu(g, 1));
    dgate.push_back(d * reference::swiglu_dgate(g, u));
  }
  std::vector<T> got(gate.size()), g, u, d;
  kernels::swiglu<T>(gate.data(), up.data(), count, got.data());
  this->expect_near(got, act, 4, "act");
  g = gate, u = up, d = dact;
  kernels::swiglu_gradient<T>(g.data(), u.data(), d.data(), count);
  this->expect_near(g, dgate, 8, "dgate");
  this->expect_near(u, dup, 4, "dup");
  EXPECT_EQ(d, got);
  g = gate;
  kernels::swiglu<T>(g.data(), up.data(), count, g.data());
  EXPECT_EQ(g, got);
  this->expect_stable(
      count, {},
      [&](int64_t first, int64_t n, std::vector<T>&) {
        kernels::swiglu<T>(gate.data() + first, up.data() + first, n, got.data() + first);
      },
      [&] { return got; });
}

TYPED_TEST(BlockRows, Rotary) {
  using T = TypeParam;
  const int64_t rows = 45, heads = 3;
  for (const int64_t width : {2, 10, 64}) {
    const auto x = this->normals(rows * heads * width);
    const auto position = this->below(100000, rows);
    std::vector<T> cosine(static_cast<size_t>(rows * width / 2)), sine = cosine, y(x.size()), wide(2 * x.size(), T{7}),
                                                                  back(x.size());
    kernels::rotary_table<T>(position.data(), rows, width, 10000, cosine.data(), sine.data());
    Doubles want;
    for (int64_t at = 0; at < rows * heads * width; ++at) {
      const Doubles head(x.begin() + at / width * width, x.begin() + (at / width + 1) * width);
      want.push_back(reference::rotated(head.data(), at % width, width,
                                        position[static_cast<size_t>(at / (heads * width))], 10000, 1));
    }
    const auto turn = [&](int64_t first, int64_t count, std::vector<T>&) {
      kernels::rotate_heads<T>({x.data() + first * heads * width, heads * width, width},
                               cosine.data() + first * width / 2, sine.data() + first * width / 2, 1, count, heads,
                               width, {y.data() + first * heads * width, heads * width, width});
    };
    std::vector<T> none;
    turn(0, rows, none);
    this->expect_near(y, want, 2, "turned");
    this->expect_stable(rows, {}, turn, [&] { return y; });
    // Into the first half of wider heads, and back.
    kernels::rotate_heads<T>({x.data(), heads * width, width}, cosine.data(), sine.data(), 1, rows, heads, width,
                             {wide.data(), 2 * heads * width, 2 * width});
    for (int64_t i = 0; i < static_cast<int64_t>(wide.size()); ++i)
      ASSERT_EQ(wide[static_cast<size_t>(i)],
                i / width % 2 == 0 ? y[static_cast<size_t>(i / (2 * width) * width + i % width)] : T{7});
    kernels::rotate_heads<T>({wide.data(), 2 * heads * width, 2 * width}, cosine.data(), sine.data(), -1, rows, heads,
                             width, {back.data(), heads * width, width});
    this->expect_near(back, this->doubles(x), 2, "turned back");
    auto in_place = x;
    kernels::rotate_heads<T>({in_place.data(), heads * width, width}, cosine.data(), sine.data(), 1, rows, heads, width,
                             {in_place.data(), heads * width, width});
    EXPECT_EQ(in_place, y);
  }
}

TYPED_TEST(BlockRows, TokenLoss) {
  using T = TypeParam;
  for (const int64_t vocabulary : {1, 5, 16, 258}) {
    const int64_t rows = 37;
    auto x = this->normals(rows * vocabulary);
    const auto target = this->below(vocabulary, rows, -1);
    for (int64_t v = 0; v < vocabulary; ++v)
      x[static_cast<size_t>(v)] = T{1};  // all the same: the first is the largest
    std::vector<double> losses(rows), again(rows);
    std::vector<uint8_t> hits(rows), hits_again(rows);
    auto gradient = x;
    kernels::token_loss<T>(x.data(), target.data(), rows, vocabulary, losses.data(), hits.data());
    kernels::token_loss_gradient<T>(gradient.data(), target.data(), rows, vocabulary, again.data(), hits_again.data());
    EXPECT_EQ(losses, again);
    EXPECT_EQ(hits, hits_again);
    const Doubles values = this->doubles(x);
    for (int64_t row = 0; row < rows; ++row) {
      const double* of = values.data() + row * vocabulary;
      const int64_t t = target[static_cast<size_t>(row)];
      const bool hit = t >= 0 && std::max_element(of, of + vocabulary) - of == t;
      EXPECT_EQ(hits[static_cast<size_t>(row)], hit ? 1 : 0);
      EXPECT_NEAR(losses[static_cast<size_t>(row)], t < 0 ? 0 : reference::token_loss(of, vocabulary, t),
                  this->rounding(20));
      for (int64_t v = 0; v < vocabulary; ++v)
        EXPECT_NEAR(static_cast<double>(gradient[static_cast<size_t>(row * vocabulary + v)]),
                    t < 0 ? 0 : std::exp(-reference::token_loss(of, vocabulary, v)) - (v == t ? 1 : 0),
                    this->rounding(4));
    }
    this->expect_stable(
        rows, {},
        [&](int64_t first, int64_t count, std::vector<T>&) {
          std::copy_n(x.begin() + first * vocabulary, count * vocabulary, gradient.begin() + first * vocabulary);
          kernels::token_loss_gradient<T>(gradient.data() + first * vocabulary, target.data() + first, count,
                                          vocabulary, losses.data() + first, hits.data() + first);
        },
        [&] { return gradient; });
  }
}

// What is not a number must not vanish in the exponential.
TYPED_TEST(BlockRows, TokenLossPassesOnWhatIsNotFinite) {
  using T = TypeParam;
  for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    std::vector<T> x(40, T{0.5});
    x[3] = bad;
    const std::vector<int64_t> target{7, -1};
    double losses[2];
    uint8_t hits[2];
    kernels::token_loss_gradient<T>(x.data(), target.data(), 2, 20, losses, hits);
    EXPECT_TRUE(std::isnan(losses[0]));
    EXPECT_TRUE(std::isnan(x[0]));
    EXPECT_EQ(losses[1], 0);
    EXPECT_EQ(x[20], 0);
  }
}

TYPED_TEST(BlockRows, SumsByIndex) {
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

TYPED_TEST(BlockRows, MeansAndConvolutionHaveTheirAdjoints) {
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

TYPED_TEST(BlockRows, SumOfSquares) {
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
