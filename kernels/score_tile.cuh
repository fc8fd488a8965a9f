// Sketch scores of a tile (scan_tiles.h) on a GPU: 64 rows held by a block of four warps, which walks the keys in pieces. While
// a piece is worked on the next one arrives by cp.async.
// Pieces are 64 keys (of 128, two to a thread, registers would spill).
//   BfloatTile  every warp holds 16 rows as fragments; a piece is 8 products m16n8k16 a step of 16; a thread has 2 rows x 16
//               keys; the next piece has a place of its own. Which numbers of a sketch a lane multiplies is free as long as rows
//               and keys agree: it takes those that lie side by side, in loads of 16 bytes
//   FloatTile   a thread has 8 rows x 4 keys, each score one sequence of fused multiply-adds; one piece at a time
#pragma once

#include <limits>

#include "kernels/device.cuh"
#include "kernels/scan_tiles.h"

namespace smartbird::kernels {

inline constexpr int kScoreThreads = 128;
inline constexpr float kUnseen = -std::numeric_limits<float>::infinity();

// The positions [from, to) among the 64 from begin on, as bits.
__device__ inline uint64_t bits_between(int64_t from, int64_t to, int64_t begin) {
  const int64_t low = from > begin ? from - begin : 0, high = to < begin + 64 ? to - begin : 64;
  return low >= high ? 0 : ~uint64_t{0} >> (64 - (high - low)) << low;
}

// Positions of its sequence that a row may see, or that several rows all see.
struct SeenBy {
  int64_t left_begin = 0, left_end = INT64_MAX, right_begin = 0, right_end = INT64_MAX;
  __device__ void narrow(const ScanBlock& block) {
    left_begin = left_begin > block.left_begin ? left_begin : block.left_begin;
    left_end = left_end < block.left_end ? left_end : block.left_end;
    right_begin = right_begin > block.right_begin ? right_begin : block.right_begin;
    right_end = right_end < block.right_end ? right_end : block.right_end;
  }
  __device__ bool all(int64_t begin, int64_t end) const {
    return (begin >= left_begin && end <= left_end) || (begin >= right_begin && end <= right_end);
  }
  __device__ uint64_t bits(int64_t begin) const {
    return bits_between(left_begin, left_end, begin) | bits_between(right_begin, right_end, begin);
  }
};

// Positions that nobody samples, ascending.
struct Excluded {
  device::Global<const int64_t> positions;
  int64_t count;
  // Those among the 64 positions from begin on.
  __device__ uint64_t bits(int64_t begin) const {
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (positions[middle] < begin)
        low = middle + 1;
      else
        high = middle;
    }
    uint64_t out = 0;
    for (; low < count && positions[low] < begin + 64; ++low) out |= uint64_t{1} << (positions[low] - begin);
    return out;
  }
};

// Starts the copy of kCount keys of the stream from `first` on, rows of kWords words; zeros beyond the last key.
template <class Word, int kWords, int kStride, int kCount>
__device__ void start_keys(const device::Shared<Word>& to, int64_t at, device::Global<const Word> keys, int64_t first,
                           int64_t num_keys) {
  constexpr int kPiece = 16 / sizeof(Word), kPieces = kWords / kPiece, kCopies = kCount * kPieces / kScoreThreads;
  static_assert(kCopies * kScoreThreads == kCount * kPieces);
#pragma unroll
  for (int copy = 0; copy < kCopies; ++copy) {
    const int i = copy * kScoreThreads + device::thread_in_block(), row = i / kPieces, column = i % kPieces * kPiece;
    const int64_t key = first + row;
    device::start_copy16<Word>(to, at + row * kStride + column, keys, key * kWords + column, key < num_keys);
  }
}

template <int kWidth>
struct BfloatTile {
  using Word = uint32_t;  // two numbers
  // kStride: eight lanes that load together meet every bank once.
  static constexpr int kWords = kWidth / 2, kStride = kWords == 32 ? 36 : kWords, kPieceKeys = 64, kRows = 2, kKeys = 16,
                       kRowLanes = 4, kSharedWords = 2 * kPieceKeys * kStride, kSteps = kWidth / 16, kMine = kWords / 4,
                       kLoad = kMine < 4 ? kMine : 4;
  static constexpr bool kAhead = true;
  uint32_t a[kSteps][4];
  int first_row, g, t;

  __device__ int row(int i) const { return first_row + g + 8 * i; }
  __device__ int row_of(int lane, int i) const { return first_row + lane / 4 + 8 * i; }  // in my warp
  __device__ static constexpr int key_after(int j) { return j / 2 * 8 + j % 2; }
  __device__ int key(int j) const { return 2 * t + key_after(j); }
  __device__ bool leads() const { return t == 0; }  // of the lanes that share a row

  __device__ void load_rows(const ScanTile& tile, device::Global<const Word> queries, const device::Shared<Word>&) {
    const int lane = device::thread_in_block() % 32;
    first_row = device::thread_in_block() / 32 * 16, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int step = 0; step < kSteps; ++step)
#pragma unroll
        for (int side = 0; side < 2; ++side)
          a[step][i + 2 * side] =
              row(i) < tile.rows ? queries[(tile.first_row + row(i)) * kWords + t * kMine + 2 * step + side] : 0;
  }
  __device__ static void start(const ScanTile& tile, device::Global<const Word> keys, int64_t num_keys,
                               const device::Shared<Word>& shared, int64_t piece) {
    start_keys<Word, kWords, kStride, kPieceKeys>(shared, piece % 2 * kPieceKeys * kStride, keys,
                                                  tile.first_key + piece * kPieceKeys, num_keys);
  }
  __device__ void scores(const device::Shared<Word>& shared, int64_t piece, float (&c)[kRows][kKeys]) const {
#pragma unroll
    for (int eight = 0; eight < kPieceKeys / 8; ++eight) {
      float products[4] = {0, 0, 0, 0};
      const int at = (static_cast<int>(piece % 2) * kPieceKeys + eight * 8 + g) * kStride + t * kMine;
#pragma unroll
      for (int load = 0; load < kMine; load += kLoad) {
        uint32_t words[kLoad];
        device::load_shared(shared, at + load, words);
#pragma unroll
        for (int n = 0; n < kLoad; n += 2) {
          const uint32_t b[2] = {words[n], words[n + 1]};
          device::mma_16x8x16(products, a[(load + n) / 2], b);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) c[i / 2][eight * 2 + i % 2] = products[i];
    }
  }
};

template <int kWidth>
struct FloatTile {
  using Word = float;
  static constexpr int kWords = kWidth, kStride = kWords + 4, kPieceKeys = 64, kRows = 8, kKeys = 4, kRowLanes = 16,
                       kMine = kPieceKeys * kStride, kSharedWords = kMine + static_cast<int>(kTileRows) * kStride;
  static constexpr bool kAhead = false;  // two pieces would leave no room for wide sketches
  int first_row, column;

  __device__ int row(int i) const { return first_row + i; }
  __device__ int row_of(int lane, int i) const { return (device::thread_in_block() / 32 * 2 + lane / 16) * kRows + i; }
  __device__ static constexpr int key_after(int j) { return 16 * j; }
  __device__ int key(int j) const { return column + key_after(j); }
  __device__ bool leads() const { return column == 0; }

  __device__ void load_rows(const ScanTile& tile, device::Global<const Word> queries,
                            const device::Shared<Word>& shared) {
    first_row = device::thread_in_block() / 16 * kRows, column = device::thread_in_block() % 16;
    for (int i = device::thread_in_block(); i < kTileRows * kWidth; i += kScoreThreads)
      shared[kMine + i / kWidth * kStride + i % kWidth] =
          i / kWidth < tile.rows ? queries[(tile.first_row + i / kWidth) * kWidth + i % kWidth] : 0;
  }
  __device__ static void start(const ScanTile& tile, device::Global<const Word> keys, int64_t num_keys,
                               const device::Shared<Word>& shared, int64_t piece) {
    start_keys<Word, kWords, kStride, kPieceKeys>(shared, 0, keys, tile.first_key + piece * kPieceKeys, num_keys);
  }
  __device__ void scores(const device::Shared<Word>& shared, int64_t, float (&c)[kRows][kKeys]) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kKeys; ++j) c[i][j] = 0;
#pragma unroll 4
    for (int m = 0; m < kWidth; ++m) {
      float k[kKeys];
#pragma unroll
      for (int j = 0; j < kKeys; ++j) k[j] = shared[key(j) * kStride + m];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const float q = shared[kMine + row(i) * kStride + m];
#pragma unroll
        for (int j = 0; j < kKeys; ++j) c[i][j] = device::fused(q, k[j], c[i][j]);
      }
    }
  }
};

// Calls body(first position, c, masked) for the pieces of a tile in order, in all threads of the block; c: scores without scale,
// kUnseen where the row may not sample the key, nowhere unless masked. The body may call sync_block.
template <class Tile, class Body>
__device__ void for_scores(Tile& scores, const ScanTile& tile, device::Global<const typename Tile::Word> keys,
                           int64_t num_keys, device::Global<const ScanBlock> blocks, const Excluded& excluded,
                           const device::Shared<typename Tile::Word>& shared, Body body) {
  static_assert(Tile::kPieceKeys == 64);
  constexpr int64_t kPerLeaf = kLeafKeys / Tile::kPieceKeys;
  constexpr bool kAhead = Tile::kAhead;
  const int64_t last = tile.last_leaf * kPerLeaf;
  if (kAhead) Tile::start(tile, keys, num_keys, shared, tile.first_leaf * kPerLeaf);
  device::commit_copies();
  SeenBy by_all;  // what lies beyond the last row is not looked at
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i)
    if (scores.row(i) < tile.rows) by_all.narrow(blocks[tile.first_row + scores.row(i)]);
  for (int64_t piece = tile.first_leaf * kPerLeaf; piece < last; ++piece) {
    const int64_t next = kAhead ? piece + 1 : piece;
    if (next < last) Tile::start(tile, keys, num_keys, shared, next);
    device::commit_copies();
    device::await_copies<kAhead ? 1 : 0>();
    device::sync_block();
    float c[Tile::kRows][Tile::kKeys];
    scores.scores(shared, piece, c);
    const int64_t begin = piece * Tile::kPieceKeys;
    const uint64_t dropped = excluded.count > 0 ? excluded.bits(begin) : 0;
    const bool masked = dropped != 0 || !by_all.all(begin, begin + Tile::kPieceKeys);
    if (masked) {
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i) {
        if (scores.row(i) >= tile.rows) continue;
        SeenBy seen;
        seen.narrow(blocks[tile.first_row + scores.row(i)]);
        const uint64_t bits = (seen.bits(begin) & ~dropped) >> scores.key(0);
#pragma unroll
        for (int j = 0; j < Tile::kKeys; ++j)
          if ((bits >> Tile::key_after(j) & 1) == 0) c[i][j] = kUnseen;
      }
    }
    body(begin, c, masked);
    device::sync_block();  // a later piece takes this one's place
  }
}

}  // namespace smartbird::kernels
