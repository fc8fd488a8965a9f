// The walk of pass A on the CPU: the log-sum-exp of each block, leaf by leaf, and whoever else looks at the scores on the way. Internal
// to the scans. Masked lanes count as nothing; leaves are combined in double by exact powers of two.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/leaf_walk.h"
#include "kernels/score_sum.h"

namespace smartbird::kernels {

inline constexpr int64_t kScanBlocks = 4 * kScoreRows;  // of a piece

// Sets the lanes of a leaf that lie outside E to -inf.
template <class T>
void mask_leaf(const ScanBlock& block, std::span<const int64_t> excluded, int64_t first, T* s) {
  constexpr T kNone = -std::numeric_limits<T>::infinity();
  if (!covers_leaf(block, first))
    for (int64_t j = 0; j < kLeafKeys; ++j) s[j] = in_ranges(block, first + j) ? s[j] : kNone;
  const auto end = std::lower_bound(excluded.begin(), excluded.end(), first + kLeafKeys);
  for (auto e = std::lower_bound(excluded.begin(), excluded.end(), first); e != end; ++e) s[*e - first] = kNone;
}

// lse [Q]. Of each piece, looker = look(piece) sees the masked scores, base 2: looker.add(begin, end, s, sums) with those of a
// leaf as for_leaf_rows says, which may be changed, and what each row of it sums to; then looker.end(lse).
template <class T, class Look>
void scan_pieces(const ScanInput<T>& input, double* lse, Look look) {
  const std::vector<Piece> pieces = cut_pieces(input.blocks, kScanBlocks);
  for_pieces(input, pieces, [&](const PackedKeys<T>& packed, size_t at, T* scratch) {
    const Piece& piece = pieces[at];
    ScoreSum all[kScanBlocks];
    auto looker = look(piece);
    for_leaf_rows(
        input, packed, pieces, at, scratch, 1, [](int64_t) { return true; },
        [&](int64_t begin, int64_t end, int64_t first, T* s) {
          for (int64_t i = begin; i < end; ++i)
            mask_leaf(input.blocks[static_cast<size_t>(i)], input.excluded, first, s + (i - begin) * kLeafKeys);
          LeafSum sums[kScoreRows];
          reduce_leaves(s, end - begin, sums);
          for (int64_t i = begin; i < end; ++i) add_leaf(all[i - piece.begin], sums[i - begin]);
          looker.add(begin, end, s, sums);
        });
    for (int64_t i = piece.begin; i < piece.end; ++i) lse[i] = log_of(all[i - piece.begin]);
    looker.end(lse);
  });
}

}  // namespace smartbird::kernels
