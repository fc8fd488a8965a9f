// Inputs of the attention benchmarks, the same for the same options.
#pragma once

#include "comm/self_comm.h"
#include "tools/bench_options.h"

namespace smartbird {

// Correlation of sketch components from one token to the next with --input=correlated: a first-order autoregression, so
// the spectrum at frequency f (cycles a token) is (1 - r²) / (1 - 2 r cos 2πf + r²); r = 0 is white noise.
inline constexpr double kBenchCorrelation = 0.95;

// One sequence on one rank.
struct BenchInput {
  explicit BenchInput(const BenchOptions& options);
  [[nodiscard]] StepContext context() { return {world, layout, timer, 1, 1, Phase::Train}; }

  World world;
  Layout layout;
  StageTimer timer;
  SketchScores scores;       // unit variance: a score of two tokens has standard deviation 1
  at::Tensor q, kv, grad_o;  // [N, H, D], [N, H, 2D] (head by head in memory), [N, H, D], standard normal
};

}  // namespace smartbird
