// The pieces of a Transformer block: norms, rotary positions (half-split, as Llama), gated MLP, counter-based dropout.
// h [T, C]; every row alone, so nothing here depends on the world size.
#pragma once

#include "model/parameters.h"
#include "model/shape.h"
#include "ops/step_context.h"

namespace smartbird {

// What a rank's rows are, for everything that depends on more than their content.
struct RowInfo {
  at::Tensor position;           // [T] int64, in the sequence
  std::vector<uint64_t> sample;  // [T] sample number of the row's sequence
};

struct RotaryTable {
  at::Tensor cos, sin;  // [T, 1, D/2]
};

[[nodiscard]] RotaryTable rotary_table(const at::Tensor& position, int64_t width, double base, at::ScalarType dtype);
[[nodiscard]] at::Tensor rotate(const at::Tensor& x, const RotaryTable& table);  // x [T, heads, D]
[[nodiscard]] at::Tensor norm(const at::Tensor& h, const at::Tensor& weight, const ModelShape& shape);
[[nodiscard]] at::Tensor gated_mlp(const at::Tensor& h, const Parameters& parameters, const std::string& prefix,
                                   const ModelShape& shape);
// Identity in evaluation or for rate 0. `place` tells the sub-blocks apart.
[[nodiscard]] at::Tensor dropout(const StepContext& context, const at::Tensor& h, const RowInfo& rows, double rate,
                                 int64_t place);

}  // namespace smartbird
