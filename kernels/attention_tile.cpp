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

template <class T>
Walk walk_of(const AttentionInput<T>& input, const Tile& tile) {
  const int64_t head = tile.head * input.pick_heads / input.heads;
  return input.tiles->walk[static_cast<size_t>(tile.run * input.pick_heads + head)];
}

template <class T>
void band_keys(const AttentionInput<T>& input, const Tile& tile, TileKeys<T>& keys) {
  const int64_t g = tile.head * input.kv_heads / input.heads;
  const int64_t begin = input.band_begin[tile.row_begin], end = input.band_end[tile.row_end - 1];
  int64_t from[kTileLanes], to[kTileLanes];
  for (int64_t lane = 0; lane < kTileLanes; ++lane) {
    const bool there = lane < tile.lanes();
    from[lane] = there ? input.band_begin[tile.row(lane)] : 0, to[lane] = there ? input.band_end[tile.row(lane)] : 0;
  }
  keys.unit.clear();
  T* bias = keys.bias.reserve(static_cast<size_t>(std::max<int64_t>(end - begin, 0) * kTileLanes));
  for (int64_t j = begin; j < end; ++j) {
    if (input.token_slot[j] < 0) continue;
    keys.unit.push_back(static_cast<int32_t>(g * input.slots + input.token_slot[j]));
    for (int64_t lane = 0; lane < kTileLanes; ++lane)
      bias[lane] = from[lane] <= j && j < to[lane] ? T{0} : -std::numeric_limits<T>::infinity();
    bias += kTileLanes;
  }
}

template <class T>
void pick_keys(const AttentionInput<T>& input, const Tile& tile, TileKeys<T>& keys) {
  const int64_t head = tile.head * input.pick_heads / input.heads;
  if (input.row_block[tile.row_begin] == input.row_block[tile.row_end - 1]) {
    const int64_t list = input.row_block[tile.row_begin] * input.pick_heads + head;
    const int64_t begin = input.pick_start[list], size = input.pick_start[list + 1] - begin;
    keys.unit.assign(input.pick_unit + begin, input.pick_unit + begin + size);
    T* bias = keys.bias.reserve(static_cast<size_t>(size * kTileLanes));
    for (int64_t i = 0; i < size; ++i) std::fill_n(bias + i * kTileLanes, kTileLanes, -input.pick_log_pi[begin + i]);
    return;
  }
  const PickTiles& tiles = *input.tiles;
  const size_t group = static_cast<size_t>(tile.run * input.pick_heads + head);
  keys.unit.assign(tiles.unit.begin() + tiles.start[group], tiles.unit.begin() + tiles.start[group + 1]);
  T* bias = keys.bias.reserve(keys.unit.size() * kTileLanes);
  std::fill_n(bias, keys.unit.size() * kTileLanes, -std::numeric_limits<T>::infinity());
  for_lists(input, tile, [&](int64_t first, int64_t last, int64_t list) {
    for (int64_t i = input.pick_start[list]; i < input.pick_start[list + 1]; ++i) {
      T* to = bias + tiles.place[static_cast<size_t>(i)] * kTileLanes;
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
template void band_keys<float>(const AttentionInput<float>&, const Tile&, TileKeys<float>&);
template void band_keys<double>(const AttentionInput<double>&, const Tile&, TileKeys<double>&);
template void pick_keys<float>(const AttentionInput<float>&, const Tile&, TileKeys<float>&);
template void pick_keys<double>(const AttentionInput<double>&, const Tile&, TileKeys<double>&);

}  // namespace smartbird::kernels
