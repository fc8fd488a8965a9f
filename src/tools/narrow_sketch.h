// What a sketch would be with fewer directions: its scores q·k are x W_q' W_k x' of rotated inputs x, and W_q' W_k cut to its
// largest singular values is the nearest product of smaller width. Nothing is trained again.
#pragma once

#include <ATen/ATen.h>

namespace smartbird {

// w_q, w_k [M, M'] of a sketch. Returns [M, M], double: q' (the matrix) k is the score in `width` directions; with width >= M,
// q·k.
[[nodiscard]] at::Tensor narrowed(const at::Tensor& w_q, const at::Tensor& w_k, int64_t width);

}  // namespace smartbird
