// Softmax over many keys whose scores come in pieces: s [rows, keys] is one piece, of which row r sees the first seen[r]
// keys (none where that is <= 0).
//   state: max' = max(max, max_j s_j),  sum' = sum exp(max - max') + Σ_j exp(s_j - max')
//   mass:  out[j] += Σ_r exp(s_rj - max_r) / sum_r over the rows that see j, r ascending
// Neither depends on the number of threads.
#pragma once

#include <cstdint>

namespace smartbird::kernels {

// max [rows], -inf to start with, and sum [rows], 0 to start with.
template <class T>
void softmax_state(const T* s, const int64_t* seen, int64_t rows, int64_t keys, T* max, T* sum);

// Rows 0, step, 2 step, ...: `rows` of them; seen, max, sum are indexed alike. out [keys].
template <class T>
void add_softmax(const T* s, const int64_t* seen, int64_t rows, int64_t step, int64_t keys, const T* max, const T* sum,
                 T* out);

}  // namespace smartbird::kernels
