// How a scan on a GPU is cut: rows of one sequence by 64, their keys by 1,024 to 8,192, so that a short stream keeps a GPU busy too.
// A row's sums are formed over 1,024 keys at fixed positions of its sequence, whatever the tile: they do not depend on the rows that
// share it, nor on the stream's length.
#pragma once

#include <vector>

#include "kernels/sketch_scan.h"

namespace smartbird::kernels {

inline constexpr int64_t kTileRows = 64, kMostSplitLeaves = 64, kSumLeaves = 8,
                         kMostSums = kMostSplitLeaves / kSumLeaves;

// Rows [first_row, first_row + rows) against leaves [first_leaf, last_leaf) of their sequence.
struct ScanTile {
  int64_t first_row = 0, first_key = 0;
  int32_t rows = 0, first_leaf = 0, last_leaf = 0;
};
// Rows of a group, and its tiles, which lie side by side in the order of their keys.
struct ScanGroup {
  int64_t first_row = 0, first_tile = 0;
  int32_t rows = 0, tiles = 0;
};
struct ScanTiles {
  std::vector<ScanGroup> groups;
  std::vector<ScanTile> tiles;
};

// stream_keys: of the whole stream, N.
[[nodiscard]] ScanTiles scan_tiles(std::span<const ScanBlock> blocks, int64_t stream_keys);
// Leaves of a tile.
[[nodiscard]] int64_t split_leaves(int64_t stream_keys);

}  // namespace smartbird::kernels
