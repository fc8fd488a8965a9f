// Rows of a table by index, differentiable: the gradient sums the rows of an entry in ascending order.
#pragma once

#include <ATen/ATen.h>

namespace smartbird {

// table [V, C], index [T] int64 in [0, V) -> [T, C].
[[nodiscard]] at::Tensor look_up(const at::Tensor& table, const at::Tensor& index);

}  // namespace smartbird
