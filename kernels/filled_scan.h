// Pass A for a draw that fills its budget: raises a block's inclusion probabilities until they sum to it although some are cut at
// 1, as sampling with probability proportional to size does whose largest units are taken with certainty (Särndal, Swensson and
// Wretman, Model Assisted Survey Sampling, 1992, 3.6). With p_ij = exp(s_ij - lse_i) and B = K (1-ε), c_i is the number with
//   Σ_{j in E_i} min(1, c_i p_ij) = B,   which is   c_i = max over m < B of (B - m) / left_m,
// left_m: what all keys but the m likeliest share. lse_i is lowered by log(c_i / B); the draw that reads it (draw.h) has
// π_ij = min(1, max(c_i p_ij, Kε/|E_i|)), at most K keys on average: the floor takes part of what it shares with the others.
// left_m is what the keys that may be certain (certain_keys.h) leave to the others, summed by itself and not as 1 minus the certain ones.
// In a fixed order: c_i depends on its block's scores alone.
#pragma once

#include <span>

#include "kernels/draw.h"

namespace smartbird::kernels {

// log(c / B), not below 0. Logarithms of what a block's likeliest keys weigh, all certain ones among them, in any order, which changes;
// of what the others sum to, and of what all do.
[[nodiscard]] double filled_by(std::span<double> largest, double others, double all, double budget);

// lse [Q] as of sketch_scan, lowered for the blocks with |E| > K.
template <class T>
void filled_scan(const ScanInput<T>& input, const DrawOptions& options, double* lse);
// filled_scan or, for a draw that does not fill its budget, sketch_scan.
template <class T>
void scan_for_draw(const ScanInput<T>& input, const DrawOptions& options, double* lse);
// Bytes that each thread of it keeps the hopeful keys of its blocks in; longest: the largest |E|.
template <class T>
[[nodiscard]] int64_t filling_bytes(const DrawOptions& options, int64_t longest);

}  // namespace smartbird::kernels
