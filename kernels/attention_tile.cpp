// Cutting rows into tiles, and the keys of a tile.
#include "kernels/attention_tile.h"

#include <algorithm>
#include <limits>

namespace smartbird::kernels {

template <class T>
int64_t tile_heads(const AttentionInput<T>& input) {
  const int64_t share = input.heads / std::max(input.kv_heads, input.pick_heads);
  int64_t heads = share;
  while (heads > kTileLanes || share % heads != 0) --heads;
  return heads;
}

template <class T>
std::vector<int64_t> tile_rows(const AttentionInput<T>& input) {
  const int64_t most = kTileLanes / tile_heads(input);
  std::vector<int64_t> begin{0};
  for (int64_t row = 0; row < input.rows;) {
    int64_t end = std::min(row + most, input.rows);
    if (end < input.rows && input.row_block[end] == input.row_block[end - 1] &&
        input.row_block[end - 1] != input.row_block[row])
      while (input.row_block[end - 1] == input.row_block[end]) --end;
    begin.push_back(row = end);
  }
  return begin;
}

namespace {

template <class T>
int64_t pick_head(const AttentionInput<T>& input, const Tile& tile) {
  return tile.head * input.pick_heads / input.heads;
}

// Of (run, pick head) in PickTiles.
template <class T>
size_t group_of(const AttentionInput<T>& input, const Tile& tile) {
  return static_cast<size_t>(tile.run * input.pick_heads + pick_head(input, tile));
}

template <class T>
bool has_one_list(const AttentionInput<T>& input, const Tile& tile) {
  return input.row_block[tile.row_begin] == input.row_block[tile.row_end - 1];
}

}  // namespace

template <class T>
Walk walk_of(const AttentionInput<T>& input, const Tile& tile) {
  return input.tiles->walk[group_of(input, tile)];
}

template <class T>
UnitSpan united_picks(const AttentionInput<T>& input, const Tile& tile) {
  if (has_one_list(input, tile)) {
    const int64_t list = input.row_block[tile.row_begin] * input.pick_heads + pick_head(input, tile);
    return {input.pick_unit + input.pick_start[list], input.pick_start[list + 1] - input.pick_start[list]};
  }
  const size_t group = group_of(input, tile);
  const int64_t begin = input.tiles->start[group];
  return {input.tiles->unit.data() + begin, input.tiles->start[group + 1] - begin};
}

template <class T>
void band_keys(const AttentionInput<T>& input, const Tile& tile, TileKeys<T>& keys) {
  const int64_t g = tile.head * input.kv_heads / input.heads;
  const int64_t begin = input.band_begin[tile.row_begin], end = input.band_end[tile.row_end - 1];
  int64_t from[kTileLanes], to[kTileLanes];
  int64_t all_from = begin, all_to = end;  // keys of all 16 lanes: most of them, in a dense layer
  for (int64_t lane = 0; lane < kTileLanes; ++lane) {
    const bool there = lane < tile.lanes();
    from[lane] = there ? input.band_begin[tile.row(lane)] : 0, to[lane] = there ? input.band_end[tile.row(lane)] : 0;
    all_from = std::max(all_from, from[lane]), all_to = std::min(all_to, to[lane]);
  }
  keys.unit.clear();
  T* bias = keys.bias.reserve(static_cast<size_t>(std::max<int64_t>(end - begin, 0) * kTileLanes));
  for (int64_t j = begin; j < end; ++j) {
    if (input.token_slot[j] < 0) continue;
    keys.unit.push_back(static_cast<int32_t>(g * input.slots + input.token_slot[j]));
    if (all_from <= j && j < all_to)
      std::fill_n(bias, kTileLanes, T{0});
    else
      for (int64_t lane = 0; lane < kTileLanes; ++lane)
        bias[lane] = from[lane] <= j && j < to[lane] ? T{0} : -std::numeric_limits<T>::infinity();
    bias += kTileLanes;
  }
}

template <class T>
void pick_keys(const AttentionInput<T>& input, const Tile& tile, TileKeys<T>& keys) {
  const UnitSpan units = united_picks(input, tile);
  keys.unit.assign(units.unit, units.unit + units.size);
  T* bias = keys.bias.reserve(static_cast<size_t>(units.size * kTileLanes));
  if (has_one_list(input, tile)) {
    const int64_t begin = units.unit - input.pick_unit;
    for (int64_t i = 0; i < units.size; ++i)
      std::fill_n(bias + i * kTileLanes, kTileLanes, -input.pick_log_pi[begin + i]);
    return;
  }
  std::fill_n(bias, units.size * kTileLanes, -std::numeric_limits<T>::infinity());
  for_lists(input, tile, [&](int64_t first, int64_t last, int64_t list) {
    for (int64_t i = input.pick_start[list]; i < input.pick_start[list + 1]; ++i) {
      T* to = bias + input.tiles->place[static_cast<size_t>(i)] * kTileLanes;
      std::fill(to + first, to + last, -input.pick_log_pi[i]);
    }
  });
}

template int64_t tile_heads<float>(const AttentionInput<float>&);
template int64_t tile_heads<double>(const AttentionInput<double>&);
template std::vector<int64_t> tile_rows<float>(const AttentionInput<float>&);
template std::vector<int64_t> tile_rows<double>(const AttentionInput<double>&);
template Walk walk_of<float>(const AttentionInput<float>&, const Tile&);
template Walk walk_of<double>(const AttentionInput<double>&, const Tile&);
template UnitSpan united_picks<float>(const AttentionInput<float>&, const Tile&);
template UnitSpan united_picks<double>(const AttentionInput<double>&, const Tile&);
template void band_keys<float>(const AttentionInput<float>&, const Tile&, TileKeys<float>&);
template void band_keys<double>(const AttentionInput<double>&, const Tile&, TileKeys<double>&);
template void pick_keys<float>(const AttentionInput<float>&, const Tile&, TileKeys<float>&);
template void pick_keys<double>(const AttentionInput<double>&, const Tile&, TileKeys<double>&);

}  // namespace smartbird::kernels
