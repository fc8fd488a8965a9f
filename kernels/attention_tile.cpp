// Cutting rows into tiles and uniting their key lists.
#include "kernels/attention_tile.h"

#include <algorithm>
#include <bit>

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
void TileLists<T>::band(const Tile& tile, TileKeys<T>& keys) {
  const int64_t g = tile.head * input_.kv_heads / input_.heads;
  const int64_t begin = input_.band_begin[tile.row_begin], end = input_.band_end[tile.row_end - 1];
  int64_t from[kTileLanes], to[kTileLanes];
  for (int64_t lane = 0; lane < kTileLanes; ++lane) {
    const bool there = lane < tile.lanes();
    from[lane] = there ? input_.band_begin[tile.row(lane)] : 0, to[lane] = there ? input_.band_end[tile.row(lane)] : 0;
  }
  keys.unit.clear();
  T* bias = keys.bias.reserve(static_cast<size_t>(std::max<int64_t>(end - begin, 0) * kTileLanes));
  for (int64_t j = begin; j < end; ++j) {
    if (input_.token_slot[j] < 0) continue;
    keys.unit.push_back(int64_t{input_.token_slot[j]} * input_.kv_heads + g);
    for (int64_t lane = 0; lane < kTileLanes; ++lane)
      bias[lane] = from[lane] <= j && j < to[lane] ? T{0} : -std::numeric_limits<T>::infinity();
    bias += kTileLanes;
  }
}

template <class T>
void TileLists<T>::one_list(int64_t list, TileKeys<T>& keys) const {
  const int64_t begin = input_.pick_start[list], end = input_.pick_start[list + 1];
  keys.unit.assign(input_.pick_unit + begin, input_.pick_unit + end);
  T* bias = keys.bias.reserve(static_cast<size_t>((end - begin) * kTileLanes));
  for (int64_t i = begin; i < end; ++i)
    std::fill_n(bias + (i - begin) * kTileLanes, kTileLanes, -input_.pick_log_pi[i]);
}

// Gives every picked position its place among the keys of the tile, in ascending positions.
template <class T>
void TileLists<T>::number_keys(const Tile& tile, TileKeys<T>& keys) {
  size_t least = over_.size(), most = 0;
  for_lists(tile, [&](int64_t, int64_t, int64_t list) {
    for (int64_t i = input_.pick_start[list]; i < input_.pick_start[list + 1]; ++i) {
      const size_t position = static_cast<size_t>(input_.pick_token[i]), word = position / 64, group = word / 64;
      seen_[word] |= uint64_t{1} << (position % 64);
      over_[group] |= uint64_t{1} << (word % 64);
      least = std::min(least, group), most = std::max(most, group);
    }
  });
  int32_t count = 0;
  for (size_t group = least; group <= most && group < over_.size(); ++group)
    for (uint64_t& words = over_[group]; words != 0; words &= words - 1) {
      const size_t word = group * 64 + static_cast<size_t>(std::countr_zero(words));
      for (uint64_t& bits = seen_[word]; bits != 0; bits &= bits - 1)
        index_[word * 64 + static_cast<size_t>(std::countr_zero(bits))] = count++;
    }
  keys.unit.resize(static_cast<size_t>(count));
}

template <class T>
void TileLists<T>::picks(const Tile& tile, TileKeys<T>& keys) {
  int64_t lists = 0, only = 0;
  for_lists(tile, [&](int64_t, int64_t, int64_t list) { ++lists, only = list; });
  if (lists == 1) return one_list(only, keys);
  number_keys(tile, keys);
  T* bias = keys.bias.reserve(keys.unit.size() * kTileLanes);
  std::fill_n(bias, keys.unit.size() * kTileLanes, -std::numeric_limits<T>::infinity());
  for_lists(tile, [&](int64_t first, int64_t last, int64_t list) {
    for (int64_t i = input_.pick_start[list]; i < input_.pick_start[list + 1]; ++i) {
      const int64_t at = index_[static_cast<size_t>(input_.pick_token[i])];
      keys.unit[static_cast<size_t>(at)] = input_.pick_unit[i];
      std::fill(bias + at * kTileLanes + first, bias + at * kTileLanes + last, -input_.pick_log_pi[i]);
    }
  });
}

template int64_t tile_heads<float>(const AttentionInput<float>&);
template int64_t tile_heads<double>(const AttentionInput<double>&);
template std::vector<int64_t> tile_rows<float>(const AttentionInput<float>&);
template std::vector<int64_t> tile_rows<double>(const AttentionInput<double>&);
template class TileLists<float>;
template class TileLists<double>;

}  // namespace smartbird::kernels
