// Which keys the blocks of a call see: pieces (runs of consecutive blocks of one sequence that walk its leaves together)
// and what a block's domain has in common with a leaf.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/sketch_scan.h"

namespace smartbird::kernels {

// Blocks [begin, end) of one call.
struct Piece {
  int64_t begin = 0, end = 0;
};

[[nodiscard]] inline bool same_sequence(const ScanBlock& a, const ScanBlock& b) {
  return a.sample == b.sample && a.first_key == b.first_key;
}

// Cuts the blocks into runs of at most `most` neighbours of one sequence.
[[nodiscard]] inline std::vector<Piece> cut_pieces(std::span<const ScanBlock> blocks, int64_t most) {
  std::vector<Piece> pieces;
  for (int64_t i = 0; i < static_cast<int64_t>(blocks.size()); ++i) {
    const bool joins = !pieces.empty() && i - pieces.back().begin < most &&
                       same_sequence(blocks[static_cast<size_t>(pieces.back().begin)], blocks[static_cast<size_t>(i)]);
    if (joins)
      pieces.back().end = i + 1;
    else
      pieces.push_back({i, i + 1});
  }
  return pieces;
}

// Whether a position lies in the block's two ranges (exclusions aside).
[[nodiscard]] inline bool in_ranges(const ScanBlock& block, int64_t position) {
  return (position >= block.left_begin && position < block.left_end) ||
         (position >= block.right_begin && position < block.right_end);
}

[[nodiscard]] inline bool is_excluded(std::span<const int64_t> excluded, int64_t position) {
  return std::binary_search(excluded.begin(), excluded.end(), position);
}

// Whether every key of the leaf at `first` lies in the ranges / any of it does.
[[nodiscard]] inline bool covers_leaf(const ScanBlock& block, int64_t first) {
  const int64_t last = first + kLeafKeys;
  return (block.left_begin <= first && last <= block.left_end) ||
         (block.right_begin <= first && last <= block.right_end);
}
[[nodiscard]] inline bool meets_leaf(const ScanBlock& block, int64_t first) {
  const int64_t last = first + kLeafKeys;
  return std::max(block.left_begin, first) < std::min(block.left_end, last) ||
         std::max(block.right_begin, first) < std::min(block.right_end, last);
}

// Calls body(position) for every position of E, ascending.
template <class Body>
void for_domain(const ScanBlock& block, std::span<const int64_t> excluded, Body body) {
  for (int64_t j = block.left_begin; j < block.left_end; ++j)
    if (!is_excluded(excluded, j)) body(j);
  for (int64_t j = std::max(block.right_begin, block.left_end); j < block.right_end; ++j)
    if (!is_excluded(excluded, j)) body(j);
}

}  // namespace smartbird::kernels
