// Tiles of the sparse attention: up to 16 lanes, each a (row, query head) of one key/value head, that walk one list of
// keys together: the union of what its rows attend, in ascending stream position. A lane's own keys are a subset; the rest
// is masked, which adds exact zeros: a lane's bits do not depend on its neighbours.
#pragma once

#include <limits>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/sparse_attention.h"

namespace smartbird::kernels {

inline constexpr int64_t kTileLanes = 16;

// Rows [row_begin, row_end) and query heads [head, head + heads) of one key/value head; lane = (row, head), heads inside.
struct Tile {
  int64_t row_begin = 0, row_end = 0, head = 0, heads = 1;
  [[nodiscard]] int64_t lanes() const { return (row_end - row_begin) * heads; }
  [[nodiscard]] int64_t row(int64_t lane) const { return row_begin + lane / heads; }
};

// Query heads that may share a tile: those of one key/value head, or one by one where each picks alone.
template <class T>
[[nodiscard]] int64_t tile_heads(const AttentionInput<T>& input);

// Cuts the rows into runs of at most kTileLanes / tile_heads rows; a block that does not fit begins a new run.
template <class T>
[[nodiscard]] std::vector<int64_t> tile_rows(const AttentionInput<T>& input);

// The keys of a tile. bias [keys, 16]: -log π where the lane attends the key (0 in the band), else -inf.
template <class T>
struct TileKeys {
  std::vector<int64_t> unit;  // [keys]
  AlignedBuffer<T> bias;
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(unit.size()); }
};

// Fills TileKeys; holds what a thread needs for it.
template <class T>
class TileLists {
 public:
  explicit TileLists(const AttentionInput<T>& input)
      : input_(input),
        seen_(static_cast<size_t>(input.num_tokens + 63) / 64),
        over_((seen_.size() + 63) / 64),
        index_(input.pick_heads > 0 ? static_cast<size_t>(input.num_tokens) : 0) {}
  void band(const Tile& tile, TileKeys<T>& keys);
  void picks(const Tile& tile, TileKeys<T>& keys);

 private:
  void one_list(int64_t list, TileKeys<T>& keys) const;
  void number_keys(const Tile& tile, TileKeys<T>& keys);
  [[nodiscard]] int64_t list_of(int64_t row, int64_t head) const {
    return input_.row_block[row] * input_.pick_heads + head * input_.pick_heads / input_.heads;
  }
  // body(first lane, end lane, list) for every pick list of the tile.
  template <class Body>
  void for_lists(const Tile& tile, Body body) const {
    const int64_t share = input_.heads / input_.pick_heads;
    for (int64_t row = tile.row_begin; row < tile.row_end;) {
      int64_t next = row + 1;
      if (tile.heads <= share)
        while (next < tile.row_end && input_.row_block[next] == input_.row_block[row]) ++next;
      const int64_t first = (row - tile.row_begin) * tile.heads;
      body(first, first + (next - row) * tile.heads, list_of(row, tile.head));
      row = next;
    }
  }

  const AttentionInput<T>& input_;
  std::vector<uint64_t> seen_,
      over_;                    // bits of stream positions, of words of seen_ that are not 0; clear between tiles
  std::vector<int32_t> index_;  // [N] place of a position among the tile's keys
};

}  // namespace smartbird::kernels
