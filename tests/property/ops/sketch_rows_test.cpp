// Law: the sketch's row functions are their formulas, row for row, and their gradients agree with finite differences.
#include "ops/sketch_rows.h"

#include "core/error.h"
#include "ops/device_tensors.h"
#include "tests/support/gradients.h"

namespace smartbird::testing {
namespace {

constexpr double kEpsilon = 1e-2;

// tap [rows, taps]: neighbours of a row among `sources` rows, -1 outside; some sources are nobody's neighbour.
at::Tensor random_taps(std::mt19937& random, int64_t rows, int64_t taps, int64_t sources) {
  at::Tensor tap = at::empty({rows, taps}, at::kLong);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t t = 0; t < taps; ++t)
      tap[i][t] = random() % 4 == 0 ? -1 : static_cast<int64_t>(random() % static_cast<uint32_t>(sources));
  return tap;
}

at::Tensor plain_convolution(const at::Tensor& x, const at::Tensor& tap, const at::Tensor& weight) {
  const at::Tensor padded = at::cat({x, at::zeros({1, x.size(1)}, x.options())}, 0);
  const at::Tensor index = at::where(tap < 0, at::full_like(tap, x.size(0)), tap);
  return (padded.index_select(0, index.flatten()).view({tap.size(0), tap.size(1), x.size(1)}) * weight.unsqueeze(0))
      .sum(1);
}

at::Tensor plain_rotary(const at::Tensor& x, const at::Tensor& position, double base) {
  const at::Tensor pairs = at::view_as_complex(x.contiguous().view({x.size(0), x.size(1) / 2, 2}));
  const at::Tensor angle = position.to(at::kDouble).unsqueeze(1) *
                           at::pow(base, at::arange(0, x.size(1), 2, at::kDouble) / -static_cast<double>(x.size(1)));
  return at::view_as_real(pairs * at::polar(at::ones_like(angle), angle)).flatten(1);
}

TEST(SketchRows, AreTheirFormulas) {
  std::mt19937 random(1);
  for (const int64_t rows : {0, 1, 7}) {
    const at::Tensor x = random_tensor(random, {rows, 6}), w = random_tensor(random, {4, 6}),
                     scale = random_tensor(random, {6}), taps_weight = random_tensor(random, {3, 6});
    const at::Tensor tap = random_taps(random, rows + 2, 3, std::max<int64_t>(rows, 1)).narrow(0, 0, rows);
    const at::Tensor position = at::arange(rows, at::kLong) * 37;
    EXPECT_TRUE(at::allclose(sketch_linear(x, w), at::mm(x, w.t()), 0, 1e-13)) << rows;
    EXPECT_TRUE(at::allclose(sketch_norm(x, scale, kEpsilon), x * (x.square().mean(1, true) + kEpsilon).rsqrt() * scale,
                             0, 1e-13))
        << rows;
    EXPECT_TRUE(at::allclose(sketch_convolution(x, tap, taps_weight), plain_convolution(x, tap, taps_weight), 0, 1e-13))
        << rows;
    EXPECT_TRUE(at::allclose(sketch_rotary(x, position, 100.0), plain_rotary(x, position, 100.0), 0, 1e-12)) << rows;
  }
}

TEST(SketchRows, FiniteDifferences) {
  std::mt19937 random(2);
  const at::Tensor x = random_tensor(random, {5, 6}), tap = random_taps(random, 8, 3, 5);
  const at::Tensor position = at::arange(5, at::kLong) * 11;
  expect_gradients([](const Tensors& in) { return sketch_linear(in[0], in[1]); }, {x, random_tensor(random, {4, 6})},
                   "linear");
  expect_gradients([](const Tensors& in) { return sketch_norm(in[0], in[1], kEpsilon); },
                   {x, random_tensor(random, {6})}, "norm");
  expect_gradients([&](const Tensors& in) { return sketch_convolution(in[0], tap, in[1]); },
                   {x, random_tensor(random, {3, 6})}, "convolution");
  expect_gradients([&](const Tensors& in) { return sketch_rotary(in[0], position, 100.0); }, {x}, "rotary");
}

TEST(SketchRows, NoRowsGiveZeroGradientsOfWeights) {
  const at::Tensor x = at::zeros({0, 6}, at::kDouble), tap = at::empty({0, 3}, at::kLong);
  const at::Tensor w = at::ones({4, 6}, at::kDouble).requires_grad_(true),
                   scale = at::ones({6}, at::kDouble).requires_grad_(true),
                   taps_weight = at::ones({3, 6}, at::kDouble).requires_grad_(true);
  for (const at::Tensor& grad :
       torch::autograd::grad({sketch_linear(x, w).sum() + sketch_norm(x, scale, kEpsilon).sum() +
                              sketch_convolution(x, tap, taps_weight).sum()},
                             {w, scale, taps_weight}))
    EXPECT_EQ(grad.abs().sum().item<double>(), 0);
}

// Every tensor argument as a strided view of a larger one.
TEST(SketchRows, TakeInputThatIsNotContiguous) {
  std::mt19937 random(3);
  const at::Tensor x = random_tensor(random, {6, 7}).t(), w = random_tensor(random, {6, 4}).t(),
                   scale = random_tensor(random, {12}).slice(0, 0, 12, 2),
                   taps_weight = random_tensor(random, {6, 3}).t();
  const at::Tensor tap = random_taps(random, 3, 7, 7).t(), position = at::arange(14, at::kLong).slice(0, 0, 14, 2);
  ASSERT_FALSE(x.is_contiguous() || w.is_contiguous() || tap.is_contiguous() || position.is_contiguous());
  EXPECT_TRUE(at::equal(sketch_linear(x, w), sketch_linear(x.contiguous(), w.contiguous())));
  EXPECT_TRUE(at::equal(sketch_norm(x, scale, kEpsilon), sketch_norm(x.contiguous(), scale.contiguous(), kEpsilon)));
  EXPECT_TRUE(at::equal(sketch_convolution(x, tap, taps_weight),
                        sketch_convolution(x.contiguous(), tap.contiguous(), taps_weight.contiguous())));
  EXPECT_TRUE(
      at::equal(sketch_rotary(x, position, 100.0), sketch_rotary(x.contiguous(), position.contiguous(), 100.0)));
}

// In a program without kernels for a GPU: a tensor that lies on one is refused, and so is one of another type in any.
TEST(SketchRows, OfATensorOnAGpuNeedKernelsForIt) {
  const HostMemoryIsDevice on_device;
  const auto message_of = [](at::ScalarType type) -> std::string {
    try {
      (void)sketch_linear(at::ones({2, 3}, type), at::ones({4, 3}, type));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message_of(at::kFloat),
            "a tensor lies on a GPU, but this build has no kernels for one; build with the cuda preset");
  EXPECT_EQ(message_of(at::kDouble), "sketch rows on a GPU: element type Double, expected float32");
}

}  // namespace
}  // namespace smartbird::testing
