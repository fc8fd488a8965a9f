// Law: the row kernels of a block are their formulas in both element types, for odd widths and no rows; neither the number
// of threads nor a cut of the rows into several calls changes a bit.
#include "tests/support/block_rows.h"

#include "kernels/normalize.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"
#include "kernels/token_loss.h"

namespace smartbird {
namespace {

using kernels::NormKind;
using reference::Doubles;
using testing::BlockRows;

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

}  // namespace
}  // namespace smartbird
