// Softmax of probe rows over keys whose scores come in pieces (kernels/probe_softmax.h), where the scores lie. A piece is
// s [G, R, keys], of which row r of every group sees the first seen[r] keys (none where that is <= 0).
#pragma once

#include "ops/tensors.h"

namespace smartbird {

// largest, sum [G, R], contiguous: -inf and 0 to start with.
void add_to_softmax(const at::Tensor& s, std::span<const int64_t> seen, at::Tensor largest, at::Tensor sum);

// mass [G · step, keys] += the softmax, summed over rows r, r + step, ... of a group; its own rows may lie apart.
void add_softmax_mass(const at::Tensor& s, std::span<const int64_t> seen, int64_t step, const at::Tensor& largest,
                      const at::Tensor& sum, at::Tensor mass);

}  // namespace smartbird
