// Tiles of the sparse attention: up to 16 lanes, each a (row, query head) of one key/value head, that walk one list of
// keys together: the union of what its rows attend, in ascending stream position. A lane's own keys are a subset; the rest
// is masked, which adds exact zeros: a lane's bits do not depend on its neighbours.
#pragma once

#include <vector>

#include "kernels/aligned_array.h"
#include "kernels/pick_tiles.h"
#include "kernels/rows_ahead.h"

namespace smartbird::kernels {

inline constexpr int64_t kTileLanes = 16;

// Run `run` of rows, [row_begin, row_end), and query heads [head, head + heads) of one key/value head; lane = (row, head),
// heads inside.
struct Tile {
  int64_t run = 0, row_begin = 0, row_end = 0, head = 0, heads = 1;
  [[nodiscard]] int64_t lanes() const { return (row_end - row_begin) * heads; }
  [[nodiscard]] int64_t row(int64_t lane) const { return row_begin + lane / heads; }
};

// Query heads that may share a tile: those of one key/value head, or one by one where each picks alone.
template <class T>
[[nodiscard]] int64_t tile_heads(const AttentionInput<T>& input);

// Cuts the rows into runs of at most kTileLanes / tile_heads rows; a block that does not fit begins a new run.
template <class T>
[[nodiscard]] std::vector<int64_t> tile_rows(const AttentionInput<T>& input);

// Calls body(first lane, end lane, list) for the lists of a tile: consecutive lanes have the same list of picks.
template <class T, class Body>
void for_lists(const AttentionInput<T>& input, const Tile& tile, Body body) {
  const int64_t pick_head = tile.head * input.pick_heads / input.heads;
  for (int64_t row = tile.row_begin; row < tile.row_end;) {
    int64_t next = row + 1;
    while (next < tile.row_end && input.row_block[next] == input.row_block[row]) ++next;
    body((row - tile.row_begin) * tile.heads, (next - tile.row_begin) * tile.heads,
         input.row_block[row] * input.pick_heads + pick_head);
    row = next;
  }
}

// See PickTiles.
template <class T>
[[nodiscard]] Walk walk_of(const AttentionInput<T>& input, const Tile& tile);

// The units that a tile's masked product takes, ascending stream positions; none where it walks lists.
template <class T>
[[nodiscard]] UnitSpan united_picks(const AttentionInput<T>& input, const Tile& tile);

// The keys of a tile. bias [keys, 16]: -log π where the lane attends the key (0 in the band), else -inf.
template <class T>
struct TileKeys {
  std::vector<int32_t> unit;  // [keys]
  AlignedBuffer<T> bias;
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(unit.size()); }
};

// What a tile attends.
template <class T>
void band_keys(const AttentionInput<T>& input, const Tile& tile, TileKeys<T>& keys);
template <class T>
void pick_keys(const AttentionInput<T>& input, const Tile& tile, TileKeys<T>& keys);

}  // namespace smartbird::kernels
