// Sketch scores of a tile (scan_tiles.h) on a GPU: 64 rows held by a block of four warps, which walks the keys in
// pieces. While a few pieces, a stage, are worked on the next ones arrive by cp.async; the warps meet once a stage.
// Pieces are 64 keys (of 128, two to a thread, registers would spill). The keys of a thread lie side by side, and those
// of the lanes that share a row follow one another.
//   BfloatTile  every warp holds 16 rows as fragments; a piece is 8 products m16n8k16 a step of 16; a thread has 2 rows x
//               16 keys; the next stage has a place of its own. Which numbers of a sketch a lane multiplies, and which key
//               is which column of a product, is free: it takes numbers that lie side by side, in loads of 16 bytes
//   FloatTile   a thread has 8 rows x 4 keys, each score one sequence of fused multiply-adds; one piece at a time. Keys
//               lie in shared memory in such an order that lanes meet different banks
#pragma once

#include <limits>

#include "kernels/device.cuh"
#include "kernels/score_domain.cuh"

namespace smartbird::kernels {

inline constexpr int kScoreThreads = 128;
inline constexpr float kUnseen = -std::numeric_limits<float>::infinity();

// The copies of a tile's pieces of keys by a thread, piece by piece from `piece` on; zeros beyond the last key.
template <class Tile>
class KeyCopies {
 public:
  using Word = typename Tile::Word;
  __device__ KeyCopies(const ScanTile& tile, device::Global<const Word> keys, int64_t num_keys, int piece)
      : keys_(keys),
        from_((tile.first_key + int64_t{piece} * Tile::kPieceKeys + row()) * Tile::kWords + column()),
        to_(Tile::slot(row()) * Tile::kStride + column()),
        left_(static_cast<int>(num_keys - tile.first_key) - piece * Tile::kPieceKeys - row()) {}
  // The next stage to shared[at ...].
  __device__ void start(const device::Shared<Word>& shared, int at) {
#pragma unroll
    for (int piece = 0; piece < Tile::kStage; ++piece)
#pragma unroll
      for (int copy = 0; copy < kCopies; ++copy) {
        const int row = piece * Tile::kPieceKeys + copy * kRows;
        device::start_copy16<Word>(shared,
                                   at + to_ + (piece * Tile::kPieceKeys + copy * Tile::slot(kRows)) * Tile::kStride,
                                   keys_, from_ + row * Tile::kWords, row < left_);
      }
    device::commit_copies();
    from_ += Tile::kStage * Tile::kPieceKeys * Tile::kWords, left_ -= Tile::kStage * Tile::kPieceKeys;
  }

 private:
  // Copy n takes row n · kRows beyond the first one's; slots keep such distances.
  static constexpr int kPiece = 16 / sizeof(Word), kPieces = Tile::kWords / kPiece, kRows = kScoreThreads / kPieces,
                       kCopies = Tile::kPieceKeys / kRows;
  static_assert(kCopies * kRows == Tile::kPieceKeys && Tile::slot(kRows + 5) == Tile::slot(kRows) + Tile::slot(5));
  __device__ static int row() { return device::thread_in_block() / kPieces; }
  __device__ static int column() { return device::thread_in_block() % kPieces * kPiece; }

  device::Global<const Word> keys_;
  int64_t from_;
  int to_, left_;
};

template <int kWidth>
struct BfloatTile {
  using Word = uint32_t;  // two numbers
  // kStride: eight lanes that load together meet every bank once; twice at width 16.
  static constexpr int kWords = kWidth / 2, kStride = kWords == 32 ? 36 : kWords, kPieceKeys = 64, kRows = 2,
                       kKeys = 16, kRowLanes = 4, kStage = kWidth < 64 ? 4 : 2,
                       kSharedWords = 2 * kStage * kPieceKeys * kStride, kSteps = kWidth / 16, kMine = kWords / 4,
                       kLoad = kMine < 4 ? kMine : 4;
  static constexpr bool kAhead = true;
  static constexpr int kScanBlocks = kWidth < 64 ? 4 : 3, kDrawBlocks = kWidth < 64 ? 4 : 2;  // on a multiprocessor
  uint32_t a[kSteps][4];
  int first_row, g, t;

  static constexpr int kRowStep = 8;  // between rows of a thread
  __device__ int row(int i) const { return first_row + g + kRowStep * i; }
  __device__ int first_key() const { return kKeys * t; }
  __device__ static constexpr int slot(int key) { return key; }
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
  // Of the piece at shared[base ...]. Column g of product n is key 16 (g / 2) + 2 n + g % 2.
  __device__ void scores(const device::Shared<Word>& shared, int base, const float (&start)[kRows],
                         float (&c)[kRows][kKeys]) const {
    const float begin[4] = {start[0], start[0], start[1], start[1]};
#pragma unroll
    for (int eight = 0; eight < kPieceKeys / 8; ++eight) {
      float products[4];
      const int key = kKeys * (g / 2) + 2 * eight + g % 2, at = base + key * kStride + t * kMine;
#pragma unroll
      for (int load = 0; load < kMine; load += kLoad) {
        uint32_t words[kLoad];
        device::load_shared(shared, at + load, words);
#pragma unroll
        for (int n = 0; n < kLoad; n += 2) {
          const uint32_t b[2] = {words[n], words[n + 1]};
          if (load + n == 0)
            device::mma_16x8x16(a[0], b, begin, products);
          else
            device::mma_16x8x16(a[(load + n) / 2], b, products, products);
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
                       kStage = 1, kMine = kPieceKeys * kStride,
                       kSharedWords = kMine + static_cast<int>(kTileRows) * kStride;
  static constexpr bool kAhead = false;  // two pieces would leave no room for wide sketches
  static constexpr int kScanBlocks = 4, kDrawBlocks = kWidth < 64 ? 4 : 3;
  int first_row, column;

  static constexpr int kRowStep = 1;
  __device__ int row(int i) const { return first_row + i; }
  __device__ int first_key() const { return kKeys * column; }
  __device__ static constexpr int slot(int key) { return key % kKeys * 16 + key / kKeys; }
  __device__ bool leads() const { return column == 0; }

  __device__ void load_rows(const ScanTile& tile, device::Global<const Word> queries,
                            const device::Shared<Word>& shared) {
    first_row = device::thread_in_block() / 16 * kRows, column = device::thread_in_block() % 16;
    for (int i = device::thread_in_block(); i < kTileRows * kWidth; i += kScoreThreads)
      shared[kMine + i / kWidth * kStride + i % kWidth] =
          i / kWidth < tile.rows ? queries[(tile.first_row + i / kWidth) * kWidth + i % kWidth] : 0;
  }
  __device__ void scores(const device::Shared<Word>& shared, int, const float (&start)[kRows],
                         float (&c)[kRows][kKeys]) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kKeys; ++j) c[i][j] = 0;  // start comes last: sums of products alone are more exact
#pragma unroll 4
    for (int m = 0; m < kWidth; ++m) {
      float k[kKeys];
#pragma unroll
      for (int j = 0; j < kKeys; ++j) k[j] = shared[(16 * j + column) * kStride + m];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        const float q = shared[kMine + row(i) * kStride + m];
#pragma unroll
        for (int j = 0; j < kKeys; ++j) c[i][j] = device::fused(q, k[j], c[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kKeys; ++j) c[i][j] += start[i];
  }
};

// Calls body(piece, in_stage, c) for the pieces of a tile in order, in all threads of the block; c: start[row] + scores
// without scale, kUnseen where the row may not sample the key. prepare(first piece, buffer) comes before every stage,
// while its keys arrive, and a barrier between; in_stage is buffer · kStage + number of the piece in its stage. Both
// may call sync_block.
template <class Tile, class Prepare, class Body>
__device__ void for_scores(Tile& scores, const ScanTile& tile, device::Global<const typename Tile::Word> keys,
                           int64_t num_keys, device::Global<const ScanBlock> blocks, const Excluded& excluded,
                           const device::Shared<typename Tile::Word>& shared, const float (&start)[Tile::kRows],
                           Prepare prepare, Body body) {
  static_assert(Tile::kPieceKeys == 64);
  constexpr int kPerLeaf = static_cast<int>(kLeafKeys) / Tile::kPieceKeys, kPiece = Tile::kPieceKeys * Tile::kStride,
                kBuffer = Tile::kStage * kPiece;
  const int first = tile.first_leaf * kPerLeaf, last = tile.last_leaf * kPerLeaf;
  KeyCopies<Tile> copies(tile, keys, num_keys, first);
  if (Tile::kAhead) copies.start(shared, 0);
  SeenBy by_all;  // what lies beyond the last row is not looked at
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i)
    if (scores.row(i) < tile.rows) by_all.narrow(blocks[tile.first_row + scores.row(i)]);
  const WholePieces left(by_all.left_begin, by_all.left_end), right(by_all.right_begin, by_all.right_end);
  int buffer = 0;
#pragma unroll 1
  for (int stage = first; stage < last; stage += Tile::kStage) {
    if (!Tile::kAhead) {
      device::sync_block();  // nobody reads the stage before any more
      copies.start(shared, 0);
    }
    prepare(stage, buffer);
    device::await_copies<0>();
    device::sync_block();
    if (Tile::kAhead && stage + Tile::kStage < last) copies.start(shared, (1 - buffer) * kBuffer);
#pragma unroll 1
    for (int piece = stage; piece < stage + Tile::kStage && piece < last; ++piece) {
      float c[Tile::kRows][Tile::kKeys];
      scores.scores(shared, buffer * kBuffer + (piece - stage) * kPiece, start, c);
      const int64_t begin = static_cast<int64_t>(piece) * Tile::kPieceKeys;
      const uint64_t dropped = excluded.count > 0 ? excluded.bits(begin) : 0;
      if (dropped != 0 || !(left.hold(piece) || right.hold(piece))) {
#pragma unroll
        for (int i = 0; i < Tile::kRows; ++i) {
          if (scores.row(i) >= tile.rows) continue;
          SeenBy seen;
          seen.narrow(blocks[tile.first_row + scores.row(i)]);
          const uint64_t bits = (seen.bits(begin) & ~dropped) >> scores.first_key();
#pragma unroll
          for (int j = 0; j < Tile::kKeys; ++j)
            if ((bits >> j & 1) == 0) c[i][j] = kUnseen;
        }
      }
      body(piece, buffer * Tile::kStage + piece - stage, c);
    }
    if (Tile::kAhead) buffer = 1 - buffer;
  }
}

}  // namespace smartbird::kernels
