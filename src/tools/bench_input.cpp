// Random tensors of the attention benchmarks.
#include "tools/bench_input.h"

#include <cmath>
#include <random>

namespace smartbird {
namespace {

Layout layout_of(const BenchOptions& o) {
  return {{Sequence{.sample = 1, .begin = 0, .length = o.tokens}},
          static_cast<int>(o.query_block),
          1,
          LayoutKind::Contiguous};
}

at::Tensor normal(std::mt19937_64& random, std::vector<int64_t> shape) {
  at::Tensor out = at::empty(shape, at::kFloat);
  std::normal_distribution<float> unit;
  float* to = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < out.numel(); ++i) to[i] = unit(random);
  return out;
}

// [rows, width]; neighbouring rows are correlated by r.
at::Tensor autoregression(std::mt19937_64& random, int64_t rows, int64_t width, double r) {
  at::Tensor out = normal(random, {rows, width});
  float* x = out.mutable_data_ptr<float>();
  const float keep = static_cast<float>(r), fresh = static_cast<float>(std::sqrt(1 - r * r));
  for (int64_t i = width; i < rows * width; ++i) x[i] = keep * x[i - width] + fresh * x[i];
  return out;
}

}  // namespace

BenchInput::BenchInput(const BenchOptions& o) : world(std::make_unique<SelfComm>(), 0), layout(layout_of(o)) {
  std::mt19937_64 random(1);
  const double r = o.input == "white" ? 0.0 : kBenchCorrelation;
  scores.queries =
      autoregression(random, layout.num_blocks(), o.sketch_width, std::pow(r, static_cast<double>(o.query_block)));
  scores.keys = autoregression(random, o.tokens, o.sketch_width, r);
  scores.scale = 1 / std::sqrt(static_cast<double>(o.sketch_width));
  q = normal(random, {o.tokens, o.heads, o.head_width});
  kv = normal(random, {o.heads, o.tokens, 2 * o.head_width}).transpose(0, 1);
  grad_o = normal(random, {o.tokens, o.heads, o.head_width});
}

}  // namespace smartbird
