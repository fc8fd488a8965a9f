// What a row may see, and how a query block's keys fall into band and sampled domain E. Positions count
// from the start of the sequence.
//   visible rows of row i: [0, visible_end(i)); causal: i+1 or the prefix, bidirectional: the whole sequence
//   band of block [i0, i0+b): [i0-W, i0+b+W) cut to what the row sees;  E = what every row of the block sees, minus the band
#pragma once

#include <algorithm>
#include <cstdint>

#include "data/layout.h"
#include "kernels/sketch_scan.h"

namespace smartbird {

struct Visibility {
  bool causal = true;
  int64_t prefix = 0;  // rows that everybody may see (prefix-LM), 0 = none
  [[nodiscard]] int64_t end(int64_t position, int64_t length) const {
    return causal ? std::max(std::min(prefix, length), position + 1) : length;
  }
};

enum class Pattern { Sparse, Window, Dense };

struct Span {
  int64_t begin = 0, end = 0;
};

[[nodiscard]] inline Span band_of(Pattern pattern, const Visibility& visibility, int64_t window, int64_t position,
                                  const Layout::Block& block, int64_t block_rows, int64_t length) {
  const int64_t end = visibility.end(position, length);
  if (pattern == Pattern::Dense) return {0, end};
  return {std::max<int64_t>(0, block.begin - window), std::min(block.begin + block_rows + window, end)};
}

// Fills the domain of a block; sample, first_key, index and group are the caller's.
inline void set_domain(kernels::ScanBlock& out, const Visibility& visibility, int64_t window,
                       const Layout::Block& block, int64_t block_rows, int64_t length) {
  const int64_t common = visibility.end(block.begin, length);
  out.left_begin = 0;
  out.left_end = std::min(std::max<int64_t>(0, block.begin - window), common);
  out.right_begin = std::min(block.begin + block_rows + window, common);
  out.right_end = common;
}

}  // namespace smartbird
