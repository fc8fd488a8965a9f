// Sketch scores of a few queries against one packed leaf of 128 keys:
//   out [rows, 128] = scale · Σ_m query[m] · key_j[m],  s = fma(q_m, k_m, s) for ascending m
// Scan and draw ask for base 2: scale = τ · log2(e) / sqrt(M), so that exp of the score is 2^out.
// Every score is that one sequence of fused multiply-adds: its bits depend on its query and key alone.
#pragma once

#include <cstdint>

namespace smartbird::kernels {

inline constexpr int64_t kLeafKeys = 128;
inline constexpr int64_t kScoreRows = 16;  // most queries a call

// Where a panel holds element m of key j: keys in columns of 32, each [width, 32], read from one end to the other.
inline constexpr int64_t kPanelKeys = 32;
[[nodiscard]] constexpr int64_t panel_at(int64_t j, int64_t m, int64_t width) {
  return (j / kPanelKeys * width + m) * kPanelKeys + j % kPanelKeys;
}

// queries [rows, width], panel [128 / 32, width, 32] and out [rows, 128], the last two 64-byte aligned.
template <class T>
void score_rows(const T* queries, int64_t rows, const T* panel, int64_t width, T scale, T* out);

}  // namespace smartbird::kernels
