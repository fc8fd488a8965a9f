// Maximum and sum of a leaf's scores: exponent = ⌈max_j s_j⌉, sum = Σ_j 2^(s_j - exponent), so that leaves can be combined
// by exact powers of two. -inf counts as nothing. The 128 lanes are summed in one fixed shape: the bits are the same on
// every instruction set that has fused multiply-adds.
#pragma once

#include "kernels/score_rows.h"

namespace smartbird::kernels {

struct LeafSum {
  double exponent = 0, sum = 0;  // sum = 0: nothing in the leaf
};

// s [rows, 128] in base 2, 64-byte aligned; out [rows].
template <class T>
void reduce_leaves(const T* s, int64_t rows, LeafSum* out);

}  // namespace smartbird::kernels
