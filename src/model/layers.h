// The pieces of a Transformer block: norm, gated MLP, counter-based dropout. h [T, C]; every row alone, so nothing here
// depends on the world size.
#pragma once

#include "model/parameters.h"
#include "model/shape.h"
#include "ops/attention_input.h"
#include "ops/gated_mlp.h"
#include "ops/step_context.h"

namespace smartbird {

// What a rank's rows are, for everything that depends on more than their content; where the weights lie.
struct RowInfo {
  at::Tensor position;  // [T] int64, in the sequence
  at::Tensor sample;    // [T] int64, sample number of the row's sequence (the bits of a uint64)
};

[[nodiscard]] NormSettings norm_settings(const ModelShape& shape);
[[nodiscard]] at::Tensor norm(const at::Tensor& h, const at::Tensor& weight, const ModelShape& shape);
// The MLP of a layer on x before its norm; with Residual::Add, x + MLP.
[[nodiscard]] at::Tensor layer_mlp(const at::Tensor& x, const Parameters& parameters, const std::string& layer,
                                   const ModelShape& shape, Residual residual, Output output = Output::Compute);
// Queries [T, H, D] and keys [T, G, D] of a layer on its input h, with rotary positions; no gradient.
struct QueriesAndKeys {
  at::Tensor q, k;
};
[[nodiscard]] QueriesAndKeys layer_queries_and_keys(const at::Tensor& h, const Parameters& parameters, int64_t layer,
                                                    const ModelShape& shape, const at::Tensor& position);
// Identity in evaluation or for rate 0. `place` tells the sub-blocks apart.
[[nodiscard]] at::Tensor dropout(const StepContext& context, const at::Tensor& h, const RowInfo& rows, double rate,
                                 int64_t place);

}  // namespace smartbird
