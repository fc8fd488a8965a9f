// Pass A on a GPU. A block of four warps takes a tile of 64 rows and walks the leaves of 128 keys, which arrive by cp.async
// while the leaf before is worked on.
//   bfloat16  every warp holds 16 rows as fragments; scores of a leaf are 16 products m16n8k16 a step of 16
//   float     every thread holds 8 rows x 4 keys of half a leaf, each score one sequence of fused multiply-adds
// Each thread keeps (max, sum) of its rows over its columns in base 2, threads of a row are joined by shuffles at the end of
// the tile, tiles of a row in double. Bound by exp2: one a pair.
#include "kernels/sketch_scan_device.h"

#include <limits>

#include "core/error.h"
#include "kernels/device.cuh"

namespace smartbird::kernels {
namespace {

using device::Global, device::Shared;

constexpr int kThreads = 128;
constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr float kLog2E = 1.44269504088896340736F;

// What a row may see, relative to a leaf: everything, or by position.
struct Row {
  int64_t left_begin = 0, left_end = 0, right_begin = 0, right_end = 0;
  __device__ bool sees(int64_t p) const {
    return (p >= left_begin && p < left_end) || (p >= right_begin && p < right_end);
  }
  __device__ bool sees_all(int64_t begin, int64_t end) const {
    return (begin >= left_begin && end <= left_end) || (begin >= right_begin && end <= right_end);
  }
};

__device__ Row row_of(Global<const ScanBlock> blocks, const ScanTile& tile, int row) {
  if (row >= tile.rows) return {};
  const ScanBlock& block = blocks[tile.first_row + row];
  return {block.left_begin, block.left_end, block.right_begin, block.right_end};
}

// The first excluded position that is not below p, as an index.
__device__ int64_t lower_bound(Global<const int64_t> excluded, int64_t count, int64_t p) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (excluded[middle] < p)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}
__device__ bool holds(Global<const int64_t> excluded, int64_t count, int64_t begin, int64_t end) {
  const int64_t at = lower_bound(excluded, count, begin);
  return at < count && excluded[at] < end;
}

// Running log-sum-exp in base 2.
struct Sum {
  float max = kNone, sum = 0;
  // Scores x[i] · scale; none is seen where x[i] = -inf.
  template <int kCount>
  __device__ void add(const float (&x)[kCount], float scale) {
    float most = x[0];
#pragma unroll
    for (int i = 1; i < kCount; ++i) most = most > x[i] ? most : x[i];
    if (most == kNone) return;
    const float next = max > most * scale ? max : most * scale;
    float part = 0;
#pragma unroll
    for (int i = 0; i < kCount; ++i) part += device::exp2_fast(device::fused(x[i], scale, -next));
    sum = max == kNone ? part : device::fused(sum, device::exp2_fast(max - next), part);
    max = next;
  }
  __device__ void join(int lanes) {
    const float other = device::shuffle_xor(max, lanes), more = device::shuffle_xor(sum, lanes);
    const float next = max > other ? max : other;
    const float mine = max == kNone ? 0 : sum * device::exp2_fast(max - next);
    const float theirs = other == kNone ? 0 : more * device::exp2_fast(other - next);
    max = next, sum = mine + theirs;
  }
};

// Starts the copy of keys [first, first + count) of the stream; zeros beyond the last.
template <class Element, int kWidth, int kStride>
__device__ void start_keys(const Shared<Element>& to, int64_t at, Global<const Element> keys, int64_t first, int count,
                           int64_t num_keys) {
  constexpr int kPiece = 16 / sizeof(Element), kPieces = kWidth / kPiece;
  for (int i = device::thread_in_block(); i < count * kPieces; i += kThreads) {
    const int64_t key = first + i / kPieces, column = i % kPieces * kPiece;
    device::start_copy16<Element>(to, at + i / kPieces * kStride + column, keys, key * kWidth + column,
                                  key < num_keys);
  }
  device::commit_copies();
}

template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    scan_bfloat16(DeviceScanInput<uint16_t> in, Global<const uint32_t> queries, Global<const uint32_t> keys,
                  Global<const ScanBlock> blocks, Global<const int64_t> excluded, Global<const ScanTile> tiles,
                  Global<float> memory) {
  constexpr int kLeaf = static_cast<int>(kLeafKeys), kSteps = kWidth / 16;
  constexpr int kWords = kWidth / 2, kStride = kWords + 4;  // two numbers a word; rows of a leaf in different banks
  SB_SHARED(uint32_t, leaf, 2 * kLeaf * kStride);
  const ScanTile tile = tiles[device::block_in_grid()];
  const int lane = device::thread_in_block() % 32, g = lane / 4, t = lane % 4,
            first_row = device::thread_in_block() / 32 * 16;
  uint32_t a[kSteps][4];
  Row rows[2];
  Sum sums[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + g + 8 * half;
    rows[half] = row_of(blocks, tile, row);
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
#pragma unroll
      for (int side = 0; side < 2; ++side)
        a[step][half + 2 * side] =
            row < tile.rows ? queries[(tile.first_row + row) * kWords + step * 8 + side * 4 + t] : 0;
  }
  const float scale = in.scale * kLog2E;
  const auto start = [&](int64_t number) {
    start_keys<uint32_t, kWords, kStride>(leaf, number % 2 * kLeaf * kStride, keys, tile.first_key + number * kLeaf,
                                          kLeaf, in.num_keys);
  };
  start(tile.first_leaf);
  for (int64_t number = tile.first_leaf; number < tile.last_leaf; ++number) {
    if (number + 1 < tile.last_leaf)
      start(number + 1);
    else
      device::commit_copies();  // nothing: every round ends one group
    device::await_copies<1>();
    device::sync_block();
    float c[2][2 * kLeaf / 8];  // of my two rows
#pragma unroll
    for (int tile8 = 0; tile8 < kLeaf / 8; ++tile8) {
      float products[4] = {0, 0, 0, 0};
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int at = (static_cast<int>(number % 2) * kLeaf + tile8 * 8 + g) * kStride + step * 8 + t;
        const uint32_t b[2] = {leaf[at], leaf[at + 4]};
        device::mma_16x8x16(products, a[step], b);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) c[i / 2][tile8 * 2 + i % 2] = products[i];
    }
    const int64_t begin = number * kLeaf, end = begin + kLeaf;
    const bool dropped = holds(excluded, in.num_excluded, begin, end);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (dropped || !rows[half].sees_all(begin, end))
#pragma unroll
        for (int i = 0; i < 2 * kLeaf / 8; ++i) {
          const int64_t p = begin + i / 2 * 8 + 2 * t + i % 2;
          if (!rows[half].sees(p) || (dropped && holds(excluded, in.num_excluded, p, p + 1))) c[half][i] = kNone;
        }
      sums[half].add(c[half], scale);
    }
    device::sync_block();  // the leaf after the next takes this one's place
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    for (int lanes = 1; lanes < 4; lanes *= 2) sums[half].join(lanes);
    if (t != 0) continue;
    const int64_t at = (device::block_in_grid() * kTileRows + first_row + g + 8 * half) * 2;
    memory[at] = sums[half].max, memory[at + 1] = sums[half].sum;
  }
}

template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    scan_float(DeviceScanInput<float> in, Global<const float> queries, Global<const float> keys,
               Global<const ScanBlock> blocks, Global<const int64_t> excluded, Global<const ScanTile> tiles,
               Global<float> memory) {
  constexpr int kHalf = static_cast<int>(kLeafKeys) / 2, kStride = kWidth + 4, kRows = 8, kKeys = 4;
  SB_SHARED(float, half_leaf, kHalf * kStride);
  SB_SHARED(float, mine, kTileRows * kStride);
  const ScanTile tile = tiles[device::block_in_grid()];
  const int column = device::thread_in_block() % 16, first_row = device::thread_in_block() / 16 * kRows;
  for (int i = device::thread_in_block(); i < kTileRows * kWidth; i += kThreads)
    mine[i / kWidth * kStride + i % kWidth] =
        i / kWidth < tile.rows ? queries[(tile.first_row + i / kWidth) * kWidth + i % kWidth] : 0;
  Sum sums[kRows];
  const float scale = in.scale * kLog2E;
  for (int64_t piece = 2 * tile.first_leaf; piece < 2 * tile.last_leaf; ++piece) {
    start_keys<float, kWidth, kStride>(half_leaf, 0, keys, tile.first_key + piece * kHalf, kHalf, in.num_keys);
    device::await_copies<0>();
    device::sync_block();
    float c[kRows][kKeys] = {};
#pragma unroll 4
    for (int m = 0; m < kWidth; ++m) {
      float k[kKeys];
#pragma unroll
      for (int j = 0; j < kKeys; ++j) k[j] = half_leaf[(column + 16 * j) * kStride + m];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const float q = mine[(first_row + i) * kStride + m];
#pragma unroll
        for (int j = 0; j < kKeys; ++j) c[i][j] = device::fused(q, k[j], c[i][j]);
      }
    }
    const int64_t begin = piece * kHalf, end = begin + kHalf;
    const bool dropped = holds(excluded, in.num_excluded, begin, end);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const Row row = row_of(blocks, tile, first_row + i);
      if (dropped || !row.sees_all(begin, end))
#pragma unroll
        for (int j = 0; j < kKeys; ++j) {
          const int64_t p = begin + column + 16 * j;
          if (!row.sees(p) || (dropped && holds(excluded, in.num_excluded, p, p + 1))) c[i][j] = kNone;
        }
      sums[i].add(c[i], scale);
    }
    device::sync_block();
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    for (int lanes = 1; lanes < 16; lanes *= 2) sums[i].join(lanes);
    if (column != 0) continue;
    const int64_t at = (device::block_in_grid() * kTileRows + first_row + i) * 2;
    memory[at] = sums[i].max, memory[at + 1] = sums[i].sum;
  }
}

// One thread a row of its group: the tiles in order.
__global__ void __launch_bounds__(kTileRows)
    join_tiles(Global<const ScanGroup> groups, Global<const float> memory, Global<double> lse) {
  const ScanGroup group = groups[device::block_in_grid()];
  const int row = device::thread_in_block();
  if (row >= group.rows) return;
  double max = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t tile = group.first_tile; tile < group.first_tile + group.tiles; ++tile) {
    const double other = memory[(tile * kTileRows + row) * 2], more = memory[(tile * kTileRows + row) * 2 + 1];
    if (more == 0) continue;
    const double next = max > other ? max : other;
    sum = (sum == 0 ? 0 : sum * exp2(max - next)) + more * exp2(other - next);
    max = next;
  }
  lse[group.first_row + row] = sum == 0 ? max : (max + log2(sum)) / static_cast<double>(kLog2E);
}

template <int kWidth>
void scan(Stream stream, const DeviceScanInput<uint16_t>& in, float* memory) {
  device::launch("sketch_scan", scan_bfloat16<kWidth>, in.num_tiles, kThreads, stream, in,
                 reinterpret_cast<const uint32_t*>(in.queries), reinterpret_cast<const uint32_t*>(in.keys), in.blocks, in.excluded, in.tiles, memory);
}
template <int kWidth>
void scan(Stream stream, const DeviceScanInput<float>& in, float* memory) {
  device::launch("sketch_scan", scan_float<kWidth>, in.num_tiles, kThreads, stream, in, in.queries, in.keys, in.blocks,
                 in.excluded, in.tiles, memory);
}

}  // namespace

template <class Element>
void sketch_scan(Stream stream, const DeviceScanInput<Element>& input, float* memory, double* lse) {
  switch (input.width) {
    case 16: scan<16>(stream, input, memory); break;
    case 32: scan<32>(stream, input, memory); break;
    case 64: scan<64>(stream, input, memory); break;
    default: fail(ErrorKind::Shape, "sketch_scan: width ", input.width, ", on a GPU 16, 32 or 64");
  }
  device::launch("sketch_scan", join_tiles, input.num_groups, static_cast<int>(kTileRows), stream, input.groups, memory,
                 lse);
}

template void sketch_scan(Stream, const DeviceScanInput<uint16_t>&, float*, double*);
template void sketch_scan(Stream, const DeviceScanInput<float>&, float*, double*);

}  // namespace smartbird::kernels
