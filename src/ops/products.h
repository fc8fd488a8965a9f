// Products of matrices with factors in bfloat16, as tensor cores multiply them: a product sums in float32 and is rounded once. What
// products are added to (residual stream, gradients of weights), weights and norms stay in float32; see run.matmul.
#pragma once

#include <ATen/ATen.h>

namespace smartbird {

enum class Factors { AsGiven, Bfloat16 };

// No copy where x is of that type already.
[[nodiscard]] inline at::Tensor factor(const at::Tensor& x, Factors factors) {
  return factors == Factors::Bfloat16 ? x.to(at::kBFloat16) : x;
}

// x in a type to sum in: float32 in place of bfloat16.
[[nodiscard]] inline at::Tensor widened(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
}

// to = add + a b, where add may be undefined, or to itself. a and b are of one type, to and add both of that or both of a wider one.
inline void product_into(at::Tensor to, const at::Tensor& add, const at::Tensor& a, const at::Tensor& b) {
  const bool same = to.scalar_type() == a.scalar_type();
  if (!add.defined()) {
    if (same)
      at::mm_out(to, a, b);
    else
      to.copy_(at::mm(a, b));
  } else if (same) {
    at::addmm_out(to, add, a, b);
  } else {
    at::add_out(to, add, at::mm(a, b));
  }
}
inline void add_product(at::Tensor to, const at::Tensor& a, const at::Tensor& b) { product_into(to, to, a, b); }

}  // namespace smartbird
