// Pass A on a GPU: a block takes a tile (score_tile.cuh). Each thread keeps (max, sum) of its rows over its keys in
// base 2, threads of a row are joined by shuffles at the end of the tile, tiles of a row in double. Bound by exp2: one
// a pair.
#include "core/error.h"
#include "kernels/score_tile.cuh"
#include "kernels/sketch_scan_device.h"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr float kMuch = 0x1p40F;  // a sum of a piece beyond this makes its greatest score the new maximum

// Running log-sum-exp in base 2. The maximum is looked for only where the sum of a piece shows that it was left far
// behind.
struct Sum {
  float max = kUnseen, sum = 0;
  // Scores x[i] · scale.
  template <int kCount>
  __device__ void add(const float (&x)[kCount], float scale) {
    float part = max == kUnseen ? kMuch : over(x, scale, max);
    if (!(part < kMuch)) {
      float next = x[0];
#pragma unroll
      for (int i = 1; i < kCount; ++i) next = device::larger(next, x[i]);
      if (next == kUnseen) return;
      next = device::larger(max, next * scale);
      part = over(x, scale, next);
      sum = max == kUnseen ? 0 : sum * device::exp2_fast(max - next);
      max = next;
    }
    sum += part;
  }
  template <int kCount>
  __device__ static float over(const float (&x)[kCount], float scale, float max) {
    float part[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < kCount; ++i) part[i % 2] += device::exp2_fast(device::fused(x[i], scale, -max));
    return part[0] + part[1];
  }
  __device__ void join(int lanes) {
    const float other = device::shuffle_xor(max, lanes), more = device::shuffle_xor(sum, lanes);
    const float next = max > other ? max : other;
    const float mine = max == kUnseen ? 0 : sum * device::exp2_fast(max - next);
    const float theirs = other == kUnseen ? 0 : more * device::exp2_fast(other - next);
    max = next, sum = mine + theirs;
  }
};

// The first and one beyond the last of a tile's sums, counted from the sequence's begin.
__device__ inline int first_sum_of(const ScanTile& tile) { return static_cast<int>(tile.first_leaf / kSumLeaves); }
__device__ inline int end_of_sums(const ScanTile& tile) {
  return static_cast<int>((tile.last_leaf + kSumLeaves - 1) / kSumLeaves);
}

template <class Tile>
__global__ void __launch_bounds__(kScoreThreads, Tile::kScanBlocks)
    scan(float scale, int64_t num_keys, int64_t num_excluded, Global<const typename Tile::Word> queries,
         Global<const typename Tile::Word> keys, Global<const ScanBlock> blocks, Global<const int64_t> excluded,
         Global<const ScanTile> tiles, Global<float> memory) {
  SB_SHARED(typename Tile::Word, shared, Tile::kSharedWords);
  const ScanTile tile = tiles[device::block_in_grid()];
  Tile scores;
  scores.load_rows(tile, queries, shared);
  Sum sums[Tile::kRows];
  constexpr int kSumPieces = static_cast<int>(kSumLeaves * kLeafKeys) / Tile::kPieceKeys;
  const int first_sum = first_sum_of(tile);
  // Joins the lanes' sums of a row and starts anew.
  const auto put_sums = [&](int number) {
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      for (int lanes = 1; lanes < Tile::kRowLanes; lanes *= 2) sums[i].join(lanes);
      if (scores.leads()) {
        const int64_t at = ((device::block_in_grid() * kMostSums + number - first_sum) * kTileRows + scores.row(i)) * 2;
        memory[at] = sums[i].max, memory[at + 1] = sums[i].sum;
      }
      sums[i] = Sum{};
    }
  };
  const auto add = [&](int piece, int, const float(&c)[Tile::kRows][Tile::kKeys]) {
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) sums[i].add(c[i], scale);
    if ((piece + 1) % kSumPieces == 0) put_sums(piece / kSumPieces);
  };
  const float start[Tile::kRows] = {};
  for_scores(
      scores, tile, keys, num_keys, blocks, {excluded, num_excluded}, shared, start, [](int, int) {}, add);
  if (tile.last_leaf % kSumLeaves != 0) put_sums(static_cast<int>(tile.last_leaf / kSumLeaves));
}

// One thread a row of its group: the tiles in order.
__global__ void __launch_bounds__(kTileRows) join_tiles(Global<const ScanGroup> groups, Global<const ScanTile> tiles,
                                                        Global<const float> memory, Global<double> lse) {
  const ScanGroup group = groups[device::block_in_grid()];
  const int row = device::thread_in_block();
  if (row >= group.rows) return;
  double max = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t tile = group.first_tile; tile < group.first_tile + group.tiles; ++tile) {
    const int sums = end_of_sums(tiles[tile]) - first_sum_of(tiles[tile]);
    for (int n = 0; n < sums; ++n) {
      const int64_t at = ((tile * kMostSums + n) * kTileRows + row) * 2;
      const double other = memory[at], more = memory[at + 1];
      if (more == 0) continue;
      const double next = max > other ? max : other;
      sum = (sum == 0 ? 0 : sum * exp2(max - next)) + more * exp2(other - next);
      max = next;
    }
  }
  lse[group.first_row + row] = sum == 0 ? max : (max + log2(sum)) / static_cast<double>(kLog2OfE);
}

template <class Tile, class Element>
void scan_with(Stream stream, const DeviceScanInput<Element>& in, float* memory) {
  using Word = typename Tile::Word;
  device::launch("sketch_scan", scan<Tile>, in.num_tiles, kScoreThreads, stream, in.scale * kLog2OfE, in.num_keys,
                 in.num_excluded, reinterpret_cast<const Word*>(in.queries), reinterpret_cast<const Word*>(in.keys),
                 in.blocks, in.excluded, in.tiles, memory);
}

template <template <int> class Tile, class Element>
void scan_any(Stream stream, const DeviceScanInput<Element>& in, float* memory, double* lse) {
  switch (in.width) {
    case 16: scan_with<Tile<16>>(stream, in, memory); break;
    case 32: scan_with<Tile<32>>(stream, in, memory); break;
    case 64: scan_with<Tile<64>>(stream, in, memory); break;
    default: fail(ErrorKind::Shape, "sketch_scan: width ", in.width, ", on a GPU 16, 32 or 64");
  }
  device::launch("sketch_scan", join_tiles, in.num_groups, static_cast<int>(kTileRows), stream, in.groups, in.tiles,
                 memory, lse);
}

}  // namespace

template <>
void sketch_scan(Stream stream, const DeviceScanInput<uint16_t>& input, float* memory, double* lse) {
  scan_any<BfloatTile>(stream, input, memory, lse);
}
template <>
void sketch_scan(Stream stream, const DeviceScanInput<float>& input, float* memory, double* lse) {
  scan_any<FloatTile>(stream, input, memory, lse);
}

}  // namespace smartbird::kernels
