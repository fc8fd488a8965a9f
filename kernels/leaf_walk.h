// Walks the leaves of pieces on all threads, with the scores of each block: what scan and draw do with them is theirs.
#pragma once

#include <cmath>

#include "kernels/aligned_array.h"
#include "kernels/packed_keys.h"

namespace smartbird::kernels {

inline constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

// Calls scores(begin, end, first, s [end - begin, 128], base 2) for the blocks [begin, end), at most kScoreRows, of the
// piece and the leaf at `first`, wherever one of them with wanted(block index) meets the leaf. A block's leaves ascend; a
// few leaves at a time are walked by all blocks, so that what a leaf needs stays in the cache. Lanes outside E and rows
// that are not wanted hold garbage.
template <class T, class Wanted, class Scores>
void for_leaf_rows(const ScanInput<T>& input, const PackedKeys<T>& packed, std::span<const Piece> pieces, size_t at,
                   T* scratch, int64_t leaves, Wanted wanted, Scores scores) {
  const Piece piece = pieces[at];
  int64_t begin = INT64_MAX, end = 0;
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    const ScanBlock& b = input.blocks[static_cast<size_t>(i)];
    if (!wanted(i)) continue;
    if (b.left_begin < b.left_end) begin = std::min(begin, b.left_begin), end = std::max(end, b.left_end);
    if (b.right_begin < b.right_end) begin = std::min(begin, b.right_begin), end = std::max(end, b.right_end);
  }
  if (begin >= end) return;
  const T factor = static_cast<T>(static_cast<double>(input.scale) * kLog2E);
  const int64_t stride = leaves * kLeafKeys;
  for (int64_t part = begin / kLeafKeys * kLeafKeys; part < end; part += stride)
    for (int64_t i0 = piece.begin; i0 < piece.end; i0 += kScoreRows) {
      const int64_t i1 = std::min(i0 + kScoreRows, piece.end);
      for (int64_t first = part; first < std::min(part + stride, end); first += kLeafKeys) {
        bool met = false;
        for (int64_t i = i0; i < i1 && !met; ++i)
          met = wanted(i) && meets_leaf(input.blocks[static_cast<size_t>(i)], first);
        if (!met) continue;
        score_rows<T>(input.queries + i0 * input.width, i1 - i0, packed.panel(at, first), input.width, factor, scratch);
        scores(i0, i1, first, scratch);
      }
    }
}

// Calls scores(block index, first, s [128], base 2) for every block of the piece with wanted(block index) and every leaf
// that it meets.
template <class T, class Wanted, class Scores>
void for_leaves(const ScanInput<T>& input, const PackedKeys<T>& packed, std::span<const Piece> pieces, size_t at,
                T* scratch, Wanted wanted, Scores scores) {
  for_leaf_rows(input, packed, pieces, at, scratch, 1, wanted, [&](int64_t begin, int64_t end, int64_t first, T* s) {
    for (int64_t i = begin; i < end; ++i)
      if (wanted(i) && meets_leaf(input.blocks[static_cast<size_t>(i)], first))
        scores(i, first, s + (i - begin) * kLeafKeys);
  });
}

// body(packed, piece index, scratch [kScoreRows, 128]) for every piece, on all threads; what body does in
// `omp ordered` it does in the order of the pieces.
template <class T, class Body>
void for_pieces(const ScanInput<T>& input, std::span<const Piece> pieces, Body body) {
  for (size_t first = 0; first < pieces.size();) {
    const PackedKeys<T> packed(input, pieces, first);
#pragma omp parallel
    {
      const auto scratch = aligned_array<T>(static_cast<size_t>(kScoreRows * kLeafKeys));
#pragma omp for schedule(dynamic) ordered
      for (int64_t i = static_cast<int64_t>(first); i < static_cast<int64_t>(packed.next()); ++i)
        body(packed, static_cast<size_t>(i), scratch.get());
    }
    first = packed.next();
  }
}

}  // namespace smartbird::kernels
