// Sketch scores of a few queries against one packed leaf of 128 keys:
//   out [rows, 128] = scale · Σ_m query[m] · panel[m][j],  s = fma(q_m, k_m, s) for ascending m
// Scan and draw ask for base 2: scale = τ · log2(e) / sqrt(M), so that exp of the score is 2^out. Every score is that one
// sequence of fused multiply-adds: its bits depend on its query and key alone.
#pragma once

#include <cstdint>

namespace smartbird::kernels {

inline constexpr int64_t kLeafKeys = 128;
inline constexpr int64_t kScoreRows = 12;  // queries a call: as many as the widest registers hold

// queries [kScoreRows, width] (pad with anything finite), panel [width, 128] and out [kScoreRows, 128] 64-byte aligned.
template <class T>
void score_rows(const T* queries, const T* panel, int64_t width, T scale, T* out);

}  // namespace smartbird::kernels
