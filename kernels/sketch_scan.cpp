// Pass A on the CPU: log-sum-exp of the sketch scores, leaf by leaf. Masked lanes count as nothing; leaves are combined in
// double by exact powers of two.
#include "kernels/sketch_scan.h"

#include <bit>
#include <limits>

#include "kernels/leaf_walk.h"
#include "kernels/reduce_leaves.h"

namespace smartbird::kernels {
namespace {

constexpr int64_t kPieceBlocks = 4 * kScoreRows;

// Sets the lanes of a leaf that lie outside E to -inf.
template <class T>
void mask_leaf(const ScanBlock& block, std::span<const int64_t> excluded, int64_t first, T* s) {
  constexpr T kNone = -std::numeric_limits<T>::infinity();
  if (!covers_leaf(block, first))
    for (int64_t j = 0; j < kLeafKeys; ++j) s[j] = in_ranges(block, first + j) ? s[j] : kNone;
  const auto end = std::lower_bound(excluded.begin(), excluded.end(), first + kLeafKeys);
  for (auto e = std::lower_bound(excluded.begin(), excluded.end(), first); e != end; ++e) s[*e - first] = kNone;
}

// Σ of 2^score over leaves, kept as sum · 2^exponent.
struct Running {
  double exponent = -std::numeric_limits<double>::infinity(), sum = 0;
  void add(const LeafSum& leaf) {
    if (leaf.sum == 0) return;
    if (leaf.exponent > exponent) {
      sum *= power_of_two(exponent - leaf.exponent);
      exponent = leaf.exponent;
    }
    sum += leaf.sum * power_of_two(leaf.exponent - exponent);
  }
  [[nodiscard]] double lse() const { return (exponent + std::log2(sum)) * kLn2; }

 private:
  // 2^by of a whole by <= 0; 0 where that is below the smallest normal number.
  static double power_of_two(double by) {
    if (!(by >= -1022)) return 0;
    return std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(by) + 1023) << 52);
  }
};

int64_t range_size(std::span<const int64_t> excluded, int64_t begin, int64_t end) {
  if (begin >= end) return 0;
  return end - begin -
         (std::lower_bound(excluded.begin(), excluded.end(), end) -
          std::lower_bound(excluded.begin(), excluded.end(), begin));
}

}  // namespace

int64_t domain_size(const ScanBlock& block, std::span<const int64_t> excluded) {
  return range_size(excluded, block.left_begin, block.left_end) +
         range_size(excluded, std::max(block.right_begin, block.left_end), block.right_end);
}

template <class T>
void sketch_scan(const ScanInput<T>& input, double* lse) {
  const std::vector<Piece> pieces = cut_pieces(input.blocks, kPieceBlocks);
  for_pieces(input, pieces, [&](const PackedKeys<T>& packed, size_t at, T* scratch) {
    const Piece& piece = pieces[at];
    Running state[kPieceBlocks];
    for_leaf_rows(
        input, packed, pieces, at, scratch, 1, [](int64_t) { return true; },
        [&](int64_t begin, int64_t end, int64_t first, T* s) {
          for (int64_t i = begin; i < end; ++i)
            mask_leaf(input.blocks[static_cast<size_t>(i)], input.excluded, first, s + (i - begin) * kLeafKeys);
          LeafSum sums[kScoreRows];
          reduce_leaves(s, end - begin, sums);
          for (int64_t i = begin; i < end; ++i) state[i - piece.begin].add(sums[i - begin]);
        });
    for (int64_t i = piece.begin; i < piece.end; ++i) lse[i] = state[i - piece.begin].lse();
  });
}

template void sketch_scan<float>(const ScanInput<float>&, double*);
template void sketch_scan<double>(const ScanInput<double>&, double*);

}  // namespace smartbird::kernels
