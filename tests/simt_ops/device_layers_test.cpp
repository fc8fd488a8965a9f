// Law: what surrounds attention, on tensors that lie on a device, is what it is on the CPU, forward and backward. Kernels run on the
// emulator, the rest is Torch's. With factors of bfloat16 it is that to their rounding, and gradients of weights are float32.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "ops/attention_input.h"
#include "ops/chunked_loss.h"
#include "ops/device_tensors.h"
#include "ops/gated_mlp.h"
#include "ops/look_up.h"
#include "ops/sketch_rows.h"
#include "tests/support/gradients.h"

namespace smartbird::testing {
namespace {

using Answer = std::function<Tensors(const Tensors&)>;

// Values, then gradients of all inputs under a weight of its own for every value.
Tensors values_and_gradients(const Answer& answer, const Tensors& inputs, at::ScalarType type) {
  std::mt19937 random(31);
  Tensors leaves;
  for (const at::Tensor& x : inputs) leaves.push_back(x.to(type).clone().requires_grad_(true));
  Tensors out = answer(leaves), weights;
  for (const at::Tensor& y : out) weights.push_back(random_tensor(random, y.sizes()).to(y.scalar_type()));
  for (const at::Tensor& gradient : torch::autograd::grad(out, leaves, weights)) out.push_back(gradient);
  return out;
}

// Of the device; the CPU's factors are as given.
struct Precision {
  Factors factors = Factors::AsGiven;
  double within = 4e-6;
  [[nodiscard]] Factors of(const at::Tensor& x) const {
    return x.scalar_type() == at::kDouble ? Factors::AsGiven : factors;
  }
};
const Precision kPrecisions[] = {{}, {Factors::Bfloat16, 0x1p-6}};

// In float there, in double here.
void expect_the_cpus(const std::string& what, const Answer& answer, const Tensors& inputs,
                     const Precision& precision = {}) {
  const Tensors want = values_and_gradients(answer, inputs, at::kDouble);
  const HostMemoryIsDevice on_device;
  const Tensors got = values_and_gradients(answer, inputs, at::kFloat);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got[i].sizes(), want[i].sizes()) << what << ", " << i;
    const double largest = want[i].abs().max().item<double>();
    EXPECT_GT(largest, 0) << what << ", " << i;
    const double error = (got[i].to(at::kDouble) - want[i]).abs().max().item<double>();
    EXPECT_LT(error, precision.within * (precision.factors == Factors::Bfloat16 ? largest : 1 + largest))
        << what << ", " << i;
    if (precision.factors == Factors::Bfloat16) {
      EXPECT_GT(error, 1e-5 * largest) << what << ", " << i << ": it rounds";
    }
    if (i >= got.size() - inputs.size()) {
      EXPECT_EQ(got[i].scalar_type(), at::kFloat) << what << ", " << i;
    }
  }
}

std::vector<NormSettings> norms() { return {{kernels::NormKind::Rms, 1e-5}, {kernels::NormKind::Layer, 1e-3}}; }

TEST(DeviceLayers, RowNorm) {
  std::mt19937 random(1);
  for (const NormSettings& settings : norms())
    expect_the_cpus("norm", [&](const Tensors& x) { return Tensors{row_norm(x[0], x[1], settings)}; },
                    {random_tensor(random, {7, 12}), random_tensor(random, {12})});
}

TEST(DeviceLayers, GatedMlp) {
  std::mt19937 random(2);
  const Tensors inputs{random_tensor(random, {7, 12}), random_tensor(random, {12}), random_tensor(random, {20, 12}),
                       random_tensor(random, {20, 12}), random_tensor(random, {12, 20})};
  for (const NormSettings& norm : norms())
    for (const Activation activation : {Activation::Silu, Activation::Gelu})
      for (const Inner inner : {Inner::Keep, Inner::Recompute})
        for (const Residual residual : {Residual::Add, Residual::None})
          for (const Precision& precision : kPrecisions) {
            MlpSettings settings{
                .norm = norm, .activation = activation, .inner = inner, .residual = residual, .chunk_rows = 3};
            expect_the_cpus(
                "mlp",
                [&](const Tensors& x) {
                  settings.factors = precision.of(x[0]);
                  return Tensors{gated_mlp(x[0], {.norm = x[1], .gate = x[2], .up = x[3], .down = x[4]}, settings)};
                },
                inputs, precision);
          }
}

TEST(DeviceLayers, AttentionInput) {
  std::mt19937 random(3);
  const at::Tensor position = at::arange(7, at::kLong);
  const Tensors inputs{random_tensor(random, {7, 12}), random_tensor(random, {12}), random_tensor(random, {32, 12}),
                       random_tensor(random, {16, 12}), random_tensor(random, {16, 12})};
  for (const NormSettings& norm : norms())
    for (const Precision& precision : kPrecisions)
      expect_the_cpus(
          "attention input",
          [&](const Tensors& x) {
            const RotaryTable table = rotary_table(position, 8, 100.0, x[0].scalar_type());
            const AttentionOperands out = attention_input(x[0], {.norm = x[1], .q = x[2], .k = x[3], .v = x[4]}, table,
                                                          8, norm, {}, 3, precision.of(x[0]));
            return Tensors{out.q, out.kv};
          },
          inputs, precision);
}

TEST(DeviceLayers, LookUp) {
  std::mt19937 random(4);
  const at::Tensor index = at::tensor({3, 0, 3, 3, 1}, at::kLong);
  expect_the_cpus("look-up", [&](const Tensors& x) { return Tensors{look_up(x[0], index)}; },
                  {random_tensor(random, {5, 12})});
}

TEST(DeviceLayers, SketchRows) {
  std::mt19937 random(6);
  const at::Tensor tap = at::tensor({-1, 0, 1, 0, 1, 2, 1, 2, 6, 2, 6, -1, -1, -1, 4}, at::kLong).view({5, 3}),
                   start = at::tensor({0, 2, 2, 5}, at::kLong), row = at::tensor({1, 4, 0, 1, 2}, at::kLong),
                   position = at::tensor({0, 1, 500, 7, 3, 2, 9}, at::kLong);
  const at::Tensor x = random_tensor(random, {7, 12}), w = random_tensor(random, {6, 12});
  expect_the_cpus("linear", [](const Tensors& t) { return Tensors{sketch_linear(t[0], t[1])}; }, {x, w});
  expect_the_cpus("norm", [](const Tensors& t) { return Tensors{sketch_norm(t[0], t[1], 1e-5)}; }, {x, w.select(0, 0)});
  expect_the_cpus("convolution", [&](const Tensors& t) { return Tensors{sketch_convolution(t[0], tap, t[1])}; },
                  {x, w.narrow(0, 0, 3)});
  expect_the_cpus("means", [&](const Tensors& t) { return Tensors{sketch_means(t[0], start, row)}; }, {x});
  expect_the_cpus("rotary", [&](const Tensors& t) { return Tensors{sketch_rotary(t[0], position, 100.0)}; }, {x});
}

TEST(DeviceLayers, ChunkedLoss) {
  std::mt19937 random(5);
  const at::Tensor target = at::tensor({3, -1, 0, 8, 2, 2, -1}, at::kLong);
  const Tensors inputs{random_tensor(random, {7, 12}), random_tensor(random, {9, 12})};
  std::vector<int64_t> correct;
  for (const int64_t chunk : {3, 100})
    for (const Precision& precision : kPrecisions)
      expect_the_cpus(
          "loss",
          [&](const Tensors& x) {
            const LossSum sum = chunked_loss(x[0], x[1], target, chunk, precision.of(x[0]));
            EXPECT_EQ(sum.counted, 5);
            correct.push_back(sum.correct);
            const at::NoGradGuard no_grad;
            const LossSum again = chunked_loss(x[0], x[1], target, chunk, precision.of(x[0]));
            EXPECT_EQ(again.correct, sum.correct);
            EXPECT_NEAR(again.loss.item<double>(), sum.loss.item<double>(), 1e-5);
            return Tensors{sum.loss};
          },
          inputs, precision);
  for (const int64_t hits : correct) EXPECT_EQ(hits, 1);
}

}  // namespace
}  // namespace smartbird::testing
