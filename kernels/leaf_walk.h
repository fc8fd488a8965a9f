// Walks the leaves of pieces on all threads, with the scores of each block: what scan and draw do with them is theirs.
#pragma once

#include <cmath>

#include "kernels/packed_keys.h"

namespace smartbird::kernels {

inline constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;

// A thread's scratch: the queries of a piece, padded, the scores of kScoreRows of its blocks.
template <class T>
struct ScoreScratch {
  ScoreScratch(int64_t width, int64_t most_blocks)
      : queries(hwy::AllocateAligned<T>(static_cast<size_t>((most_blocks + kScoreRows) * width))),
        scores(hwy::AllocateAligned<T>(static_cast<size_t>(kScoreRows * kLeafKeys))) {}
  hwy::AlignedFreeUniquePtr<T[]> queries, scores;
};

// Calls scores(block index, first, s [128], base 2) for every block of the piece with wanted(block index) and every leaf
// that it meets: leaves ascend, blocks inside; lanes outside E hold garbage.
template <class T, class Wanted, class Scores>
void for_leaves(const ScanInput<T>& input, const PackedKeys<T>& packed, std::span<const Piece> pieces, size_t at,
                ScoreScratch<T>& scratch, Wanted wanted, Scores scores) {
  const Piece piece = pieces[at];
  const T factor = static_cast<T>(static_cast<double>(input.scale) * kLog2E);
  int64_t begin = INT64_MAX, end = 0;
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    const ScanBlock& b = input.blocks[static_cast<size_t>(i)];
    if (!wanted(i)) continue;
    if (b.left_begin < b.left_end) begin = std::min(begin, b.left_begin), end = std::max(end, b.left_end);
    if (b.right_begin < b.right_end) begin = std::min(begin, b.right_begin), end = std::max(end, b.right_end);
  }
  if (begin >= end) return;
  const int64_t size = (piece.end - piece.begin) * input.width;
  std::copy_n(input.queries + piece.begin * input.width, size, scratch.queries.get());
  std::fill_n(scratch.queries.get() + size, kScoreRows * input.width, T{0});
  for (int64_t first = begin / kLeafKeys * kLeafKeys; first < end; first += kLeafKeys)
    for (int64_t i0 = piece.begin; i0 < piece.end; i0 += kScoreRows) {
      bool scored = false;
      for (int64_t i = i0; i < std::min(i0 + kScoreRows, piece.end); ++i) {
        if (!wanted(i) || !meets_leaf(input.blocks[static_cast<size_t>(i)], first)) continue;
        if (!scored)
          score_rows<T>(scratch.queries.get() + (i0 - piece.begin) * input.width, packed.panel(at, first), input.width,
                        factor, scratch.scores.get());
        scored = true;
        scores(i, first, scratch.scores.get() + (i - i0) * kLeafKeys);
      }
    }
}

// body(packed, piece index, scratch) for every piece of at most most_blocks blocks, on all threads.
template <class T, class Body>
void for_pieces(const ScanInput<T>& input, std::span<const Piece> pieces, int64_t most_blocks, Body body) {
  for (size_t first = 0; first < pieces.size();) {
    const PackedKeys<T> packed(input, pieces, first);
#pragma omp parallel
    {
      ScoreScratch<T> scratch(input.width, most_blocks);
#pragma omp for schedule(dynamic)
      for (int64_t i = static_cast<int64_t>(first); i < static_cast<int64_t>(packed.next()); ++i)
        body(packed, static_cast<size_t>(i), scratch);
    }
    first = packed.next();
  }
}

}  // namespace smartbird::kernels
