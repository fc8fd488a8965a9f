// Pass A: the log-sum-exp of each query block's sketch scores over its sampled domain E:
//   s_ij = scale · q_i·k_j,  lse_i = log Σ_{j in E_i} exp(s_ij)   (-inf for an empty E).
// Every score is one fixed sequence of fused multiply-adds in T (score_rows.h), the same in draw; keys are summed in
// leaves of 128, aligned to the sequence, and leaves combined in order in double: the bits do not depend on threads, on
// which blocks are scanned together, or on packing.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/score_rows.h"

namespace smartbird::kernels {

// A query block and its sampled domain E = [left_begin, left_end) ∪ [right_begin, right_end) minus the excluded keys;
// positions count from the start of the block's sequence.
struct ScanBlock {
  uint64_t sample = 0;    // names the sequence in random numbers
  int64_t first_key = 0;  // row of `keys` that holds position 0 of the sequence
  int64_t index = 0;      // block index in its sequence
  int64_t group = 0;      // share group in its sequence
  int64_t left_begin = 0, left_end = 0, right_begin = 0, right_end = 0;
};

template <class T>
struct ScanInput {
  const T* queries = nullptr;         // [Q, M]
  const T* keys = nullptr;            // [N, M], stream order
  int64_t width = 0;                  // M
  T scale = 1;                        // τ / sqrt(M)
  std::span<const ScanBlock> blocks;  // [Q]
  std::span<const int64_t> excluded;  // positions (ascending, unique) never sampled: the global keys
};

// |E|: the number of keys of a block's domain.
[[nodiscard]] int64_t domain_size(const ScanBlock& block, std::span<const int64_t> excluded);

// lse [Q].
template <class T>
void sketch_scan(const ScanInput<T>& input, double* lse);

}  // namespace smartbird::kernels
