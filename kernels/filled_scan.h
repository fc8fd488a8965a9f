// Pass A for a draw that fills its budget: raises a block's inclusion probabilities until they sum to it although some are cut at
// 1, as sampling with probability proportional to size does whose largest units are taken with certainty (Särndal, Swensson and
// Wretman, Model Assisted Survey Sampling, 1992, 3.6). With p_ij = exp(s_ij - lse_i) and B = K (1-ε), c_i is the number with
//   Σ_{j in E_i} min(1, c_i p_ij) = B,   so   c_i = (B - m) / (1 - the m largest p_ij),   m: how many have c_i p_ij >= 1,
// and lse_i is lowered by log(c_i / B). The draw that reads it (draw.h) has π_ij = min(1, max(c_i p_ij, Kε/|E_i|)): still at most
// K keys on average, and as many as that but for what floor and probability have in common. All in double, in a fixed order:
// c_i depends on its block's scores alone.
#pragma once

#include "kernels/draw.h"

namespace smartbird::kernels {

// What the keys that are drawn by chance are taken to share, at the least: below that, 1 minus the certain ones' sum says
// nothing any more, and the sum of π stays below B.
inline constexpr double kLeastLeft = 1e-4;

// log(c / B) of a block whose min(K, |E|) largest probabilities are `largest`, in any order, which changes.
[[nodiscard]] double filled_by(std::span<double> largest, double budget);

// lse [Q] as of sketch_scan, lowered for the blocks with |E| > K.
template <class T>
void filled_scan(const ScanInput<T>& input, const DrawOptions& options, double* lse);

}  // namespace smartbird::kernels
