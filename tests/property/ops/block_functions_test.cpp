// Law: norm, attention input, MLP, look-up and block means are their formulas whatever the chunks, and their gradients
// agree with finite differences.
#include "core/error.h"
#include "ops/attention_input.h"
#include "ops/gated_mlp.h"
#include "ops/look_up.h"
#include "ops/sketch_rows.h"
#include "tests/support/gradients.h"

namespace smartbird::testing {
namespace {

using kernels::NormKind;

constexpr int64_t kRows = 7, kWidth = 6, kHeadWidth = 4, kInner = 5;

at::Tensor plain_norm(const at::Tensor& x, const at::Tensor& weight, const NormSettings& s) {
  const at::Tensor centred = s.kind == NormKind::Layer ? x - x.mean(1, true) : x;
  return centred * (centred.square().mean(1, true) + s.epsilon).rsqrt() * weight;
}

at::Tensor plain_turn(const at::Tensor& x, const RotaryTable& table) {
  const int64_t half = x.size(2) / 2;
  const at::Tensor a = x.narrow(2, 0, half), b = x.narrow(2, half, half), c = table.cosine.unsqueeze(1),
                   s = table.sine.unsqueeze(1);
  return at::cat({a * c - b * s, b * c + a * s}, 2);
}

std::vector<NormSettings> norms() { return {{NormKind::Rms, 1e-2}, {NormKind::Layer, 1e-2}}; }

TEST(BlockFunctions, Norm) {
  std::mt19937 random(1);
  for (const NormSettings& s : norms()) {
    const Tensors in{random_tensor(random, {kRows, kWidth}), random_tensor(random, {kWidth})};
    EXPECT_TRUE(at::allclose(row_norm(in[0], in[1], s), plain_norm(in[0], in[1], s), 0, 1e-13));
    expect_gradients([&](const Tensors& x) { return row_norm(x[0], x[1], s); }, in, "norm");
  }
}

TEST(BlockFunctions, AttentionInput) {
  std::mt19937 random(2);
  const RotaryTable table = rotary_table(at::arange(kRows, at::kLong) * 13, kHeadWidth, 100, at::kDouble);
  const int64_t heads = 3, kv_heads = 2;
  const Tensors in{random_tensor(random, {kRows, kWidth}), random_tensor(random, {kWidth}),
                   random_tensor(random, {heads * kHeadWidth, kWidth}),
                   random_tensor(random, {kv_heads * kHeadWidth, kWidth}),
                   random_tensor(random, {kv_heads * kHeadWidth, kWidth})};
  for (const NormSettings& s : norms())
    for (const int64_t chunk : {3, 100}) {
      const auto both = [&](const Tensors& x) {
        const AttentionOperands of = attention_input(x[0], {x[1], x[2], x[3], x[4]}, table, kHeadWidth, s, {}, chunk);
        return at::cat({of.q.flatten(), of.kv.flatten()});
      };
      const at::Tensor n = plain_norm(in[0], in[1], s);
      const auto project = [&](size_t i, int64_t of) { return at::linear(n, in[i]).view({kRows, of, kHeadWidth}); };
      EXPECT_TRUE(
          at::allclose(both(in),
                       at::cat({plain_turn(project(2, heads), table).flatten(),
                                at::cat({plain_turn(project(3, kv_heads), table), project(4, kv_heads)}, 2).flatten()}),
                       0, 1e-12));
      expect_gradients(both, in, "attention input");
      expect_gradients(
          [&](const Tensors& x) {
            return attention_input(x[0], {x[1], x[2], in[3], in[4]}, table, kHeadWidth, s, {}, chunk).q;
          },
          {in[0], in[1], in[2]}, "queries alone");
    }
}

TEST(BlockFunctions, GatedMlp) {
  std::mt19937 random(3);
  const Tensors in{random_tensor(random, {kRows, kWidth}), random_tensor(random, {kWidth}),
                   random_tensor(random, {kInner, kWidth}), random_tensor(random, {kInner, kWidth}),
                   random_tensor(random, {kWidth, kInner})};
  for (const NormSettings& s : norms())
    for (const Activation activation : {Activation::Silu, Activation::Gelu})
      for (const Inner inner : {Inner::Keep, Inner::Recompute})
        for (const Residual residual : {Residual::Add, Residual::None})
          for (const int64_t chunk : {3, 100}) {
            const MlpSettings settings{s, activation, inner, residual, Output::Compute, chunk};
            const auto mlp = [&](const Tensors& x) { return gated_mlp(x[0], {x[1], x[2], x[3], x[4]}, settings); };
            const at::Tensor n = plain_norm(in[0], in[1], s), gate = at::linear(n, in[2]);
            at::Tensor plain = at::linear(
                (activation == Activation::Silu ? at::silu(gate) : at::gelu(gate)) * at::linear(n, in[3]), in[4]);
            if (residual == Residual::Add) plain = plain + in[0];
            EXPECT_TRUE(at::allclose(mlp(in), plain, 0, 1e-12));
            expect_gradients(mlp, in, "mlp");
          }
}

// A replay that skips the output has the same gradient.
TEST(BlockFunctions, GatedMlpWithoutOutput) {
  std::mt19937 random(4);
  Tensors in{random_tensor(random, {kRows, kWidth}), random_tensor(random, {kWidth}),
             random_tensor(random, {kInner, kWidth}), random_tensor(random, {kInner, kWidth}),
             random_tensor(random, {kWidth, kInner})};
  for (at::Tensor& x : in) x.requires_grad_(true);
  const at::Tensor y = random_tensor(random, {kRows, kWidth});
  const auto gradients = [&](Output output) {
    return torch::autograd::grad(
        {gated_mlp(in[0], {in[1], in[2], in[3], in[4]}, {.inner = Inner::Recompute, .output = output})}, in, {y});
  };
  const Tensors whole = gradients(Output::Compute), skipped = gradients(Output::Skip);
  for (size_t i = 0; i < in.size(); ++i) EXPECT_TRUE(at::equal(whole[i], skipped[i])) << i;
  EXPECT_THROW((void)gated_mlp(in[0], {in[1], in[2], in[3], in[4]}, {.output = Output::Skip}), Error);
}

TEST(BlockFunctions, LookUpAndMeans) {
  std::mt19937 random(5);
  const at::Tensor index = at::tensor({2, 0, 2, 2, 3}, at::kLong), table = random_tensor(random, {5, kWidth});
  EXPECT_TRUE(at::equal(look_up(table, index), table.index_select(0, index)));
  expect_gradients([&](const Tensors& x) { return look_up(x[0], index); }, {table}, "look-up");
  const at::Tensor start = at::tensor({0, 2, 5}, at::kLong);
  const at::Tensor means = sketch_means(table, start, index);
  EXPECT_TRUE(at::allclose(means[0], (table[2] + table[0]) / 2, 0, 1e-14));
  EXPECT_TRUE(at::allclose(means[1], (2 * table[2] + table[3]) / 3, 0, 1e-14));
  expect_gradients([&](const Tensors& x) { return sketch_means(x[0], start, index); }, {table}, "means");
}

TEST(BlockFunctions, NoRows) {
  const at::Tensor x = at::zeros({0, kWidth}, at::kDouble).requires_grad_(true);
  const auto weight = [](at::IntArrayRef shape) { return at::ones(shape, at::kDouble).requires_grad_(true); };
  const at::Tensor norm = weight({kWidth}), in = weight({kInner, kWidth}), out = weight({kWidth, kInner}),
                   projection = weight({2 * kHeadWidth, kWidth});
  const RotaryTable table = rotary_table(at::empty({0}, at::kLong), kHeadWidth, 100, at::kDouble);
  const AttentionOperands of = attention_input(x, {norm, projection, projection, projection}, table, kHeadWidth, {});
  EXPECT_EQ(of.kv.sizes(), at::IntArrayRef({0, 2, 2 * kHeadWidth}));
  const at::Tensor sum = gated_mlp(x, {norm, in, in, out}, {}).sum() + of.q.sum() + of.kv.sum() +
                         row_norm(x, norm, {}).sum() + look_up(in, at::empty({0}, at::kLong)).sum();
  for (const at::Tensor& grad : torch::autograd::grad({sum}, {norm, in, out, projection}))
    EXPECT_EQ(grad.abs().sum().item<double>(), 0);
}

}  // namespace
}  // namespace smartbird::testing
