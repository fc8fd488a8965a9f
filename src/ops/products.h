// Products of matrices whose factors are rounded to bfloat16 and whose sums go on in float32: what tensor cores multiply. Weights,
// residual stream, norms and gradients of weights stay in float32; see run.matmul.
#pragma once

#include <ATen/ATen.h>

namespace smartbird {

enum class Factors { AsGiven, Bfloat16 };

// No copy where x is of that type already.
[[nodiscard]] inline at::Tensor factor(const at::Tensor& x, Factors factors) {
  return factors == Factors::Bfloat16 ? x.to(at::kBFloat16) : x;
}

// What is added up from x, or compared: never in bfloat16.
[[nodiscard]] inline at::Tensor widened(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
}

// to = add + a b, where add may be undefined; a and b are of one type, to and add of theirs or a wider one.
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
