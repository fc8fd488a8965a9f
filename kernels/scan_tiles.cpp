// Groups of blocks, and the leaves that any of them may see.
#include "kernels/scan_tiles.h"

#include <algorithm>

namespace smartbird::kernels {
namespace {

struct Range {
  int64_t begin = 0, end = 0;
  void add(int64_t from, int64_t to) {
    if (from >= to) return;
    begin = begin < end ? std::min(begin, from) : from;
    end = std::max(end, to);
  }
};

}  // namespace

int64_t split_leaves(int64_t stream_keys) {
  int64_t leaves = 8;
  while (leaves < kMostSplitLeaves && 16 * leaves * kLeafKeys <= stream_keys) leaves *= 2;
  return leaves;
}

ScanTiles scan_tiles(std::span<const ScanBlock> blocks, int64_t stream_keys) {
  ScanTiles out;
  const int64_t split = split_leaves(stream_keys);
  for (size_t first = 0; first < blocks.size();) {
    size_t last = first;
    Range keys;
    while (last < blocks.size() && last - first < kTileRows && blocks[last].first_key == blocks[first].first_key) {
      keys.add(blocks[last].left_begin, blocks[last].left_end);
      keys.add(blocks[last].right_begin, blocks[last].right_end);
      ++last;
    }
    ScanGroup group{.first_row = static_cast<int64_t>(first),
                    .first_tile = static_cast<int64_t>(out.tiles.size()),
                    .rows = static_cast<int32_t>(last - first)};
    const int64_t end = (keys.end + kLeafKeys - 1) / kLeafKeys;
    for (int64_t leaf = keys.begin / kLeafKeys; leaf < end;) {
      const int64_t next = std::min(end, (leaf / split + 1) * split);
      out.tiles.push_back({group.first_row, blocks[first].first_key, group.rows, static_cast<int32_t>(leaf),
                           static_cast<int32_t>(next)});
      ++group.tiles;
      leaf = next;
    }
    out.groups.push_back(group);
    first = last;
  }
  return out;
}

}  // namespace smartbird::kernels
