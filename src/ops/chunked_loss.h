// Cross-entropy over a large vocabulary without logits of all rows: those with a target go through in chunks, and the
// gradients of the sum are formed in the same pass, so that nothing of size [T, V] is held.
//   loss = Σ_t [target_t >= 0] (log Σ_v exp(h_t·w_v) - h_t·w_target)
#pragma once

#include "ops/products.h"

namespace smartbird {

struct LossSum {
  at::Tensor loss;      // scalar, the sum over counted rows; differentiable in h and w
  int64_t correct = 0;  // rows whose largest logit is the target
  int64_t counted = 0;
  at::Tensor row_loss, row_correct;  // without gradients: [T] float64 and uint8 where h is, 0 where not counted
};

// h [T, C], w [V, C], target [T] int64 on the host, -1 = not counted. factors: Bfloat16, of float32 on a GPU; the logits
// and their gradient are rounded to it, loss and hits are not.
[[nodiscard]] LossSum chunked_loss(const at::Tensor& h, const at::Tensor& w, const at::Tensor& target,
                                   int64_t chunk_rows, Factors factors = Factors::AsGiven);

}  // namespace smartbird
