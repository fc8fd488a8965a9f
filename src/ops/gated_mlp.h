// The MLP half of a block, in chunks of rows:
//   n = norm(x);  y = [x +] (act(n gateᵀ) ∘ (n upᵀ)) downᵀ,  act = silu or gelu
// The backward pass norms again, and either keeps the two inner products [T, F] or forms them again chunk by chunk, so that
// nothing of inner width lives for all rows.
#pragma once

#include "ops/chunks.h"
#include "ops/products.h"
#include "ops/row_norm.h"

namespace smartbird {

struct MlpWeights {
  const at::Tensor &norm, &gate, &up, &down;  // [C], [F, C], [F, C], [C, F]
};

enum class Activation { Silu, Gelu };
enum class Inner { Keep, Recompute };
enum class Residual { Add, None };
// Skip leaves y without content: for a replay of which only the gradient is wanted.
enum class Output { Compute, Skip };

struct MlpSettings {
  NormSettings norm;
  Activation activation = Activation::Silu;
  Inner inner = Inner::Keep;
  Residual residual = Residual::Add;
  Output output = Output::Compute;
  int64_t chunk_rows = kChunkRows;
  Factors factors = Factors::AsGiven;  // Bfloat16: of float32, on a GPU; the inner products are bfloat16 too
};

// x [T, C] -> [T, C], differentiable.
[[nodiscard]] at::Tensor gated_mlp(const at::Tensor& x, const MlpWeights& weights, const MlpSettings& settings);

}  // namespace smartbird
