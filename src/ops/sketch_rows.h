// The sketch's path from embedding rows to queries and keys, differentiable, on the row-stable kernels: a row's bits do
// not depend on how many rows the rank holds. x [rows, width] in the element type of the run.
#pragma once

#include <ATen/ATen.h>

namespace smartbird {

[[nodiscard]] at::Tensor sketch_linear(const at::Tensor& x, const at::Tensor& weight);  // weight [out, in]
[[nodiscard]] at::Tensor sketch_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);  // weight [width]
// x [all rows, width], tap [rows, taps] int64 (-1 = outside), weight [taps, width] -> [rows, width]
[[nodiscard]] at::Tensor sketch_convolution(const at::Tensor& x, const at::Tensor& tap, const at::Tensor& weight);
// Means of rows: list l is rows x[row[start[l] .. start[l + 1])]. start [lists + 1], row int64 -> [lists, width].
[[nodiscard]] at::Tensor sketch_means(const at::Tensor& x, const at::Tensor& start, const at::Tensor& row);
[[nodiscard]] at::Tensor sketch_rotary(const at::Tensor& x, const at::Tensor& position,
                                       double base);  // position [rows] int64

}  // namespace smartbird
