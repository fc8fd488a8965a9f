// Dropout over kernels/dropout.h, where the rows lie.
#pragma once

#include "kernels/dropout.h"
#include "ops/tensors.h"

namespace smartbird {

// h · factor: h [T, C] float or double (float on a GPU); sample, position [T] int64, where h lies. Differentiable in h.
[[nodiscard]] at::Tensor drop_out(const at::Tensor& h, const at::Tensor& sample, const at::Tensor& position,
                                  const kernels::Dropout& options);

}  // namespace smartbird
