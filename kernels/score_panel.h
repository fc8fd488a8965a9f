// Sketch scores of one leaf (128 keys), shared by scan and draw so that both see the same bits: keys are packed
// transposed [M][128] and a score is s = fma(q_m, k_m, s) for ascending m, then s · scale. A piece is a run of
// consecutive blocks that walk the leaves together; lanes never meet, so neither pieces nor unseen keys touch a score.
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

// panel [M][128] = keys at positions [begin, end) of the leaf at `first`; the other lanes are zero and never read.
template <class T>
void pack_leaf(const T* sequence_keys, int64_t width, int64_t first, int64_t begin, int64_t end, T* panel) {
  if (end - begin < kLeafKeys) std::fill(panel, panel + width * kLeafKeys, T{0});
  for (int64_t j = begin; j < end; ++j)
    for (int64_t m = 0; m < width; ++m) panel[m * kLeafKeys + (j - first)] = sequence_keys[j * width + m];
}

// out [128] = scores of one query against a packed leaf.
template <class T>
inline void score_leaf(const T* query, const T* panel, int64_t width, T scale, T* out) {
  constexpr int64_t kLanes = 256 / sizeof(T);  // as many accumulators as stay in registers
  for (int64_t j0 = 0; j0 < kLeafKeys; j0 += kLanes) {
    T sum[kLanes] = {};
    for (int64_t m = 0; m < width; ++m)
      for (int64_t j = 0; j < kLanes; ++j) sum[j] = std::fma(query[m], panel[m * kLeafKeys + j0 + j], sum[j]);
    for (int64_t j = 0; j < kLanes; ++j) out[j0 + j] = sum[j] * scale;
  }
}

// Walks the leaves that blocks of the piece see, ascending, and calls scores(block index, first, s [128]) for each block
// that meets the leaf and for which wanted(block index) holds. Lanes outside E hold garbage.
template <class T, class Wanted, class Scores>
void for_leaves(const ScanInput<T>& input, const Piece& piece, Wanted wanted, Scores scores) {
  int64_t begin = INT64_MAX, end = 0;
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    const ScanBlock& b = input.blocks[static_cast<size_t>(i)];
    if (!wanted(i)) continue;
    if (b.left_begin < b.left_end) begin = std::min(begin, b.left_begin), end = std::max(end, b.left_end);
    if (b.right_begin < b.right_end) begin = std::min(begin, b.right_begin), end = std::max(end, b.right_end);
  }
  if (begin >= end) return;
  std::vector<T> panel(static_cast<size_t>(input.width * kLeafKeys));
  const T* keys = input.keys + input.blocks[static_cast<size_t>(piece.begin)].first_key * input.width;
  alignas(64) T s[kLeafKeys];
  for (int64_t first = begin / kLeafKeys * kLeafKeys; first < end; first += kLeafKeys) {
    bool packed = false;
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      if (!wanted(i) || !meets_leaf(input.blocks[static_cast<size_t>(i)], first)) continue;
      if (!packed) {
        pack_leaf(keys, input.width, first, std::max(begin, first), std::min(end, first + kLeafKeys), panel.data());
        packed = true;
      }
      score_leaf(input.queries + i * input.width, panel.data(), input.width, input.scale, s);
      scores(i, first, s);
    }
  }
}

}  // namespace smartbird::kernels
