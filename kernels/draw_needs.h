// What a draw reads of the sketch: `draw` does not look at lse where it needs no probabilities, nor at queries and keys where it
// needs no scores.
#pragma once

#include "kernels/draw.h"

namespace smartbird::kernels {

// The probabilities, and so the log-sum-exp of the scan.
[[nodiscard]] constexpr bool needs_probabilities(DrawMode mode) {
  return mode == DrawMode::Poisson || mode == DrawMode::Systematic || mode == DrawMode::Gumbel || mode == DrawMode::Iid;
}
// The scores of pairs.
[[nodiscard]] constexpr bool needs_scores(DrawMode mode) { return needs_probabilities(mode) || mode == DrawMode::TopK; }
// Bytes that each thread of `draw` keeps the best keys of its blocks in, where the draw looks for them; longest: the largest
// |E|.
template <class T>
[[nodiscard]] int64_t kept_bytes(const DrawOptions& options, int64_t longest);

}  // namespace smartbird::kernels
