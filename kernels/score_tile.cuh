// Sketch scores of a tile (scan_tiles.h) on a GPU: 64 rows held by a block of four warps, which walks the keys in pieces. While
// a piece is worked on the next one arrives by cp.async.
// Pieces are 64 keys (of 128, two to a thread, registers would spill).
//   BfloatTile  every warp holds 16 rows as fragments; a piece is 8 products m16n8k16 a step of 16; a thread has 2 rows x 16
//               keys; the next piece has a place of its own
//   FloatTile   a thread has 8 rows x 4 keys, each score one sequence of fused multiply-adds; one piece at a time
#pragma once

#include <limits>

#include "kernels/device.cuh"
#include "kernels/scan_tiles.h"

namespace smartbird::kernels {

inline constexpr int kScoreThreads = 128;
inline constexpr float kUnseen = -std::numeric_limits<float>::infinity();

// Positions of its sequence that a row may see.
struct SeenBy {
  int64_t left_begin = 0, left_end = 0, right_begin = 0, right_end = 0;
  __device__ bool one(int64_t p) const {
    return (p >= left_begin && p < left_end) || (p >= right_begin && p < right_end);
  }
  __device__ bool all(int64_t begin, int64_t end) const {
    return (begin >= left_begin && end <= left_end) || (begin >= right_begin && end <= right_end);
  }
};

__device__ inline SeenBy seen_by(device::Global<const ScanBlock> blocks, const ScanTile& tile, int row) {
  if (row >= tile.rows) return {};
  const ScanBlock& block = blocks[tile.first_row + row];
  return {block.left_begin, block.left_end, block.right_begin, block.right_end};
}

// Positions that nobody samples, ascending.
struct Excluded {
  device::Global<const int64_t> positions;
  int64_t count;
  // Whether one lies in [begin, end).
  __device__ bool holds(int64_t begin, int64_t end) const {
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (positions[middle] < begin)
        low = middle + 1;
      else
        high = middle;
    }
    return low < count && positions[low] < end;
  }
};

// Starts the copy of keys [first, first + count) of the stream, rows of kWords words; zeros beyond the last key.
template <class Word, int kWords, int kStride>
__device__ void start_keys(const device::Shared<Word>& to, int64_t at, device::Global<const Word> keys, int64_t first,
                           int count, int64_t num_keys) {
  constexpr int kPiece = 16 / sizeof(Word), kPieces = kWords / kPiece;
  for (int i = device::thread_in_block(); i < count * kPieces; i += kScoreThreads) {
    const int64_t key = first + i / kPieces, column = i % kPieces * kPiece;
    device::start_copy16<Word>(to, at + i / kPieces * kStride + column, keys, key * kWords + column, key < num_keys);
  }
}

template <int kWidth>
struct BfloatTile {
  using Word = uint32_t;  // two numbers
  static constexpr int kWords = kWidth / 2, kStride = kWords + 4, kPieceKeys = 64, kRows = 2, kKeys = 16,
                       kRowLanes = 4, kSharedWords = 2 * kPieceKeys * kStride, kSteps = kWidth / 16;
  static constexpr bool kAhead = true;
  uint32_t a[kSteps][4];
  int first_row, g, t;

  __device__ int row(int i) const { return first_row + g + 8 * i; }
  __device__ int key(int j) const { return j / 2 * 8 + 2 * t + j % 2; }
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
              row(i) < tile.rows ? queries[(tile.first_row + row(i)) * kWords + step * 8 + side * 4 + t] : 0;
  }
  __device__ static void start(const ScanTile& tile, device::Global<const Word> keys, int64_t num_keys,
                               const device::Shared<Word>& shared, int64_t piece) {
    start_keys<Word, kWords, kStride>(shared, piece % 2 * kPieceKeys * kStride, keys,
                                      tile.first_key + piece * kPieceKeys, kPieceKeys, num_keys);
  }
  __device__ void scores(const device::Shared<Word>& shared, int64_t piece, float (&c)[kRows][kKeys]) const {
#pragma unroll
    for (int eight = 0; eight < kPieceKeys / 8; ++eight) {
      float products[4] = {0, 0, 0, 0};
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int at = (static_cast<int>(piece % 2) * kPieceKeys + eight * 8 + g) * kStride + step * 8 + t;
        const uint32_t b[2] = {shared[at], shared[at + 4]};
        device::mma_16x8x16(products, a[step], b);
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
  __device__ int key(int j) const { return column + 16 * j; }
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
    start_keys<Word, kWords, kStride>(shared, 0, keys, tile.first_key + piece * kPieceKeys, kPieceKeys, num_keys);
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

// Calls body(first position, c) for the pieces of a tile in order, in all threads of the block; c: scores without scale,
// kUnseen where the row may not sample the key. The body may call sync_block.
template <class Tile, class Body>
__device__ void for_scores(Tile& scores, const ScanTile& tile, device::Global<const typename Tile::Word> keys,
                           int64_t num_keys, device::Global<const ScanBlock> blocks, const Excluded& excluded,
                           const device::Shared<typename Tile::Word>& shared, Body body) {
  constexpr int64_t kPerLeaf = kLeafKeys / Tile::kPieceKeys;
  constexpr bool kAhead = Tile::kAhead;
  const int64_t last = tile.last_leaf * kPerLeaf;
  if (kAhead) Tile::start(tile, keys, num_keys, shared, tile.first_leaf * kPerLeaf);
  device::commit_copies();
  for (int64_t piece = tile.first_leaf * kPerLeaf; piece < last; ++piece) {
    const int64_t next = kAhead ? piece + 1 : piece;
    if (next < last) Tile::start(tile, keys, num_keys, shared, next);
    device::commit_copies();
    device::await_copies<kAhead ? 1 : 0>();
    device::sync_block();
    float c[Tile::kRows][Tile::kKeys];
    scores.scores(shared, piece, c);
    const int64_t begin = piece * Tile::kPieceKeys, end = begin + Tile::kPieceKeys;
    const bool dropped = excluded.holds(begin, end);
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) {
      const SeenBy seen = seen_by(blocks, tile, scores.row(i));
      if (!dropped && seen.all(begin, end)) continue;
#pragma unroll
      for (int j = 0; j < Tile::kKeys; ++j) {
        const int64_t p = begin + scores.key(j);
        if (!seen.one(p) || (dropped && excluded.holds(p, p + 1))) c[i][j] = kUnseen;
      }
    }
    body(begin, c);
    device::sync_block();  // a later piece takes this one's place
  }
}

}  // namespace smartbird::kernels
