// The last pass of a draw on a GPU: what draw.cu decided, to its lists. A warp is a block and takes the notes of 16
// rows of a tile. It brings their picks into the order of the lists in shared memory first, so that neighbouring lanes
// write to neighbouring places; more picks than fit there go to their places one by one.
#include "kernels/draw_notes.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr int kRoom = 1280;  // picks

template <int kHeads>
__global__ void __launch_bounds__(32)
    place_notes(int64_t num_tiles, int heads, Global<const ScanTile> tiles, NotePool pool,
                Global<const int32_t> in_tile, Global<const int64_t> start, Global<int32_t> key, Global<float> log_pi) {
  constexpr int kLists = kRowsOfWarp * kHeads, kOfLane = kLists / 32;
  SB_SHARED(int64_t, to, kLists);     // where a list's picks of this tile go, less `begin`
  SB_SHARED(int32_t, begin, kLists);  // of a list in the order of lists
  SB_SHARED(int32_t, next, kLists);
  SB_SHARED(int32_t, keys, kRoom);
  SB_SHARED(float, log_pis, kRoom);
  SB_SHARED(int32_t, sums, 32);
  const int64_t number = device::block_in_grid() / kDrawWarps;
  const int warp = static_cast<int>(device::block_in_grid() % kDrawWarps), lane = device::thread_in_block();
  const ScanTile tile = tiles[number];
  const bool last = number + 1 == num_tiles || tiles[number + 1].first_row != tile.first_row;
  const int first = warp * kRowsOfWarp * heads, lists = kRowsOfWarp * heads, there = tile.rows * heads - first;
  int64_t place[kOfLane];
  int32_t count[kOfLane], sum = 0;
#pragma unroll
  for (int n = 0; n < kOfLane; ++n) {
    const int list = lane * kOfLane + n;
    place[n] = 0, count[n] = 0;
    if (list >= lists || list >= there) continue;
    const int64_t row_head = tile.first_row * heads + first + list, at = number * kTileRows * heads + first + list;
    const int64_t here = in_tile[at], begins = start[row_head];
    place[n] = begins + here;
    count[n] = static_cast<int32_t>((last ? start[row_head + 1] - begins : in_tile[at + kTileRows * heads]) - here);
    sum += count[n];
  }
  sums[lane] = sum;
  device::sync_warp();
  int32_t before = 0, all = 0;
  for (int other = 0; other < 32; ++other) {
    const int32_t of_other = sums[other];
    if (other < lane) before += of_other;
    all += of_other;
  }
#pragma unroll
  for (int n = 0; n < kOfLane; ++n) {
    const int list = lane * kOfLane + n;
    begin[list] = before, next[list] = before, to[list] = place[n] - before;
    before += count[n];
  }
  device::sync_warp();
  struct Pick {
    uint32_t heads;
    int32_t key;
    float log_pi;
    int row;
  };
  const auto load = [&](uint32_t of, int64_t note, bool is) {
    const float chance = is ? pool.chance[note] : 1;
    return Pick{is ? pool.heads[note] : 0, static_cast<int32_t>(key_of(tile, of)), chance < 1 ? logf(chance) : 0,
                row_of(of)};
  };
  if (all > kRoom) {
    for_notes<int32_t>(pool, device::block_in_grid(), heads, next, 0, load,
                       [&](const Pick& pick, int head, int32_t at) {
                         const int64_t there = to[pick.row * heads + head] + at;
                         key[there] = pick.key, log_pi[there] = pick.log_pi;
                       });
    return;
  }
  for_notes<int32_t>(pool, device::block_in_grid(), heads, next, 0, load,
                     [&](const Pick& pick, int, int32_t at) { keys[at] = pick.key, log_pis[at] = pick.log_pi; });
  device::sync_warp();
  for (int at = lane; at < all; at += 32) {
    int list = 0;  // the last that begins at `at` or before; lists without picks begin with the next one
#pragma unroll
    for (int step = kLists / 2; step > 0; step /= 2)
      if (begin[list + step] <= at) list += step;
    const int64_t there = to[list] + at;
    key[there] = keys[at], log_pi[there] = log_pis[at];
  }
}

template <int kHeads>
void place(Stream stream, const ScanTile* tiles, int64_t num_tiles, const DrawOptions& options,
           const DeviceDrawInput& draw, const int64_t* start, int32_t* key, float* log_pi) {
  device::launch("draw", place_notes<kHeads>, num_tiles * kDrawWarps, 32, stream, num_tiles, options.heads, tiles,
                 pool_of(draw.notes), draw.in_tile, start, key, log_pi);
}

}  // namespace

void write_picks(Stream stream, const ScanTile* tiles, int64_t num_tiles, const DrawOptions& options,
                 const DeviceDrawInput& draw, const int64_t* start, int32_t* key, float* log_pi) {
  if (options.heads <= 8)
    place<8>(stream, tiles, num_tiles, options, draw, start, key, log_pi);
  else
    place<kMostDeviceHeads>(stream, tiles, num_tiles, options, draw, start, key, log_pi);
}

}  // namespace smartbird::kernels
