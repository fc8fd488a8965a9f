// RMSNorm or LayerNorm of rows, differentiable; see kernels/normalize.h for the formulas. Keeps two numbers a row.
#pragma once

#include <ATen/ATen.h>

#include "kernels/normalize.h"

namespace smartbird {

struct NormSettings {
  kernels::NormKind kind = kernels::NormKind::Rms;
  double epsilon = 1e-5;
};

// x [T, C], weight [C] -> [T, C].
[[nodiscard]] at::Tensor row_norm(const at::Tensor& x, const at::Tensor& weight, const NormSettings& settings);

// Without autograd, for functions that norm their rows chunk by chunk. x, y [n, C], stats [n, 2].
void normalize_into(const at::Tensor& x, const at::Tensor& weight, const NormSettings& settings, at::Tensor y,
                    at::Tensor stats);
// dx [n, C] = (add or 0) + gradient at x; dweight [C] is added to. add may be undefined.
void normalize_back(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& stats,
                    const NormSettings& settings, const at::Tensor& dy, const at::Tensor& add, at::Tensor dx,
                    at::Tensor dweight);

}  // namespace smartbird
