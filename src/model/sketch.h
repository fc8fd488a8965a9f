// The sketch Transformer (after Smart Bird, arXiv 2108.09193): X = norm(stopgrad(h) W_in), a short convolution along the sequence, rotary
// positions, q = X W_q, k = X W_k; scores τ q·k / sqrt(M). Row-stable forward; gradients reach the sketch's weights only.
#pragma once

#include "model/parameters.h"
#include "model/shape.h"
#include "ops/step_context.h"

namespace smartbird {

struct SketchOutput {
  at::Tensor queries;      // [Q, M] of this rank's query blocks, differentiable
  at::Tensor keys;         // [T, M] of this rank's rows, differentiable
  at::Tensor temperature;  // [1] τ
};

void declare_sketches(Parameters& parameters, const ModelShape& shape);
// input [T, C], detached inside; position [T] int64. Collective (halos of convolution and block queries).
[[nodiscard]] SketchOutput run_sketch(const StepContext& context, const Parameters& parameters, const ModelShape& shape,
                                      int64_t sketch, const at::Tensor& input, const at::Tensor& position);

}  // namespace smartbird
