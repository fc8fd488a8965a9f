// The way from a block's input rows to the attention's operands, in chunks of rows:
//   n = norm(x);  q = turn(n W_qᵀ);  kv = [turn(n W_kᵀ), n W_vᵀ],  turn: rotary positions of each head
// Keys and values are written where the attention reads them. Only x is kept: the backward pass norms again. Where rows
// travel beside other work, keys and values come first and the rows are normed once more for the queries.
#pragma once

#include "ops/chunks.h"
#include "ops/kv_travel.h"
#include "ops/products.h"
#include "ops/row_norm.h"

namespace smartbird {

struct RotaryTable {
  at::Tensor cosine, sine;  // [T, D/2]
};
// position [T] int64, in the sequence.
[[nodiscard]] RotaryTable rotary_table(const at::Tensor& position, int64_t width, double base, at::ScalarType dtype);
// x [T, heads, D] turned; no gradient.
[[nodiscard]] at::Tensor rotate(const at::Tensor& x, const RotaryTable& table);

struct AttentionWeights {
  const at::Tensor &norm, &q, &k, &v;  // [C], [H·D, C], [G·D, C], [G·D, C]
};

struct AttentionOperands {
  at::Tensor q, kv;  // [T, H, D], [T, G, 2D]; kv lies head by head in memory
};

// x [T, C]; head_width D. Differentiable in x and the weights. travel: null, or how kv travels; then only attend may read kv
// with gradient, and forward and backward are collective. factors: Bfloat16, of float32 on a GPU, gives q and kv in bfloat16.
[[nodiscard]] AttentionOperands attention_input(const at::Tensor& x, const AttentionWeights& weights,
                                                const RotaryTable& table, int64_t head_width, const NormSettings& norm,
                                                const KvTravelPtr& travel = {}, int64_t chunk_rows = kChunkRows,
                                                Factors factors = Factors::AsGiven);

}  // namespace smartbird
