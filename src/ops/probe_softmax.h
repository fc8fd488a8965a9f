// Softmax of probe rows over keys whose scores come in pieces (kernels/probe_softmax.h), where the scores lie. A piece is
// s [G, R, keys] from the sequence's key `begin` on.
#pragma once

#include "ops/tensors.h"

namespace smartbird {

// How many keys of the sequence row r of every group sees: [R], on the host and where the scores lie.
struct SeenKeys {
  std::vector<int64_t> here;
  at::Tensor there;
};

// largest, sum [G, R], contiguous: -inf and 0 to start with.
void add_to_softmax(const at::Tensor& s, const SeenKeys& seen, int64_t begin, at::Tensor largest, at::Tensor sum);

// mass [G · step, keys] += the softmax, summed over rows r, r + step, ... of a group; its own rows may lie apart.
void add_softmax_mass(const at::Tensor& s, const SeenKeys& seen, int64_t begin, int64_t step, const at::Tensor& largest,
                      const at::Tensor& sum, at::Tensor mass);

}  // namespace smartbird
