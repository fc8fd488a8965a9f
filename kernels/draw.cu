// Pass B on a GPU. A block takes a tile (score_tile.cuh). Of every piece of its keys the log probabilities go to shared memory,
// half a piece at a time, where a lane stands for a key: it holds the logarithms of its random numbers for four heads, and a
// ballot of a row and head is its picks. The bits before a pick are its place in the list, so that lists are in order without
// sorting and the same every time. Bound by comparisons where rows share numbers, by Philox and logarithms where each row has
// its own.
#include "kernels/draw_device.h"

#include <cmath>

#include "core/error.h"
#include "kernels/score_tile.cuh"

namespace smartbird::kernels {
namespace {

using device::Global, device::Shared;

constexpr int kHeadsAtOnce = 4;               // of one Philox block
constexpr int kHalf = 32, kStride = kHalf + 1;  // keys of half a piece: one a lane
constexpr float kLn2 = 0.693147180559945309417F;

struct Rules {
  float scale = 1;         // of scores, to base 2
  double log2_budget = 0;  // log2(K (1 - ε))
  int heads = 1, layer = 0;
  PhiloxKey key;
};

// log2 of the uniforms of a share group, heads [head, head + 4), keys [first, first + 32): one a thread.
__device__ inline void make_thresholds(const Rules& rules, const ScanBlock& block, int head, int64_t first,
                                       const Shared<float>& log_u) {
  PhiloxKey key = rules.key;
  key.high ^= static_cast<uint32_t>(block.sample >> 32);
  const int me = device::thread_in_block();
  const PhiloxCounter words = philox({static_cast<uint32_t>(block.sample), static_cast<uint32_t>(block.group),
                                      static_cast<uint32_t>(rules.layer * 65536 + head / 4),
                                      static_cast<uint32_t>(first + me % kHalf)},
                                     key);
  const uint32_t low = me < 2 * kHalf ? words[0] : words[2], high = me < 2 * kHalf ? words[1] : words[3];
  log_u[me] = static_cast<float>(log2(uniform(me / kHalf % 2 == 0 ? low : high)));
}

// Where a row's picks go.
struct Lists {
  Global<const int64_t> start;
  Global<int32_t> in_tile, key;
  Global<float> log_pi;
};

// The picks of one row and four heads among 32 keys: x, log2 π of my lane's key; log_u, of my key.
template <bool kWrites>
__device__ void pick(const Rules& rules, const Lists& lists, float x, const float (&log_u)[kHeadsAtOnce], int64_t row,
                     int row_in_tile, int head, int64_t position, const Shared<uint16_t>& found) {
  const int lane = device::thread_in_block() % 32;
#pragma unroll
  for (int h = 0; h < kHeadsAtOnce; ++h) {
    if (head + h >= rules.heads) break;
    const bool mine = x > log_u[h];
    const uint32_t all = device::ballot(mine);
    if (all == 0) continue;
    const int of = row_in_tile * rules.heads + head + h, before = found[of];
    device::sync_warp();
    if (lane == 0) found[of] = static_cast<uint16_t>(before + device::count_bits(all));
    if (!kWrites || !mine) continue;
    const int64_t to = lists.start[row * rules.heads + head + h] +
                       lists.in_tile[(device::block_in_grid() * kTileRows + row_in_tile) * rules.heads + head + h] +
                       before + device::count_bits(all & ((uint32_t{1} << lane) - 1));
    lists.key[to] = static_cast<int32_t>(position);
    lists.log_pi[to] = (x < 0 ? x : 0) * kLn2;
  }
}

template <class Tile, bool kWrites>
__global__ void __launch_bounds__(kScoreThreads, 4)
    draw(Rules rules, int64_t num_keys, int64_t num_excluded, Global<const typename Tile::Word> queries,
         Global<const typename Tile::Word> keys, Global<const ScanBlock> blocks, Global<const int64_t> excluded,
         Global<const ScanTile> tiles, Global<const double> lse, Global<const float> least, Global<int32_t> in_tile,
         Global<const int64_t> start, Global<int32_t> out_key, Global<float> out_log_pi) {
  constexpr int kRows = static_cast<int>(kTileRows), kWarpRows = kRows / (kScoreThreads / 32);
  SB_SHARED(typename Tile::Word, shared, Tile::kSharedWords);
  SB_SHARED(float, log_pi, kRows* kStride);
  SB_SHARED(float, log_u, kHeadsAtOnce* kHalf);
  SB_SHARED(uint16_t, found, kRows* kMostDeviceHeads);  // picks of (row, head) before
  const ScanTile tile = tiles[device::block_in_grid()];
  const Lists lists{start, in_tile, out_key, out_log_pi};
  const int me = device::thread_in_block(), lane = me % 32;
  Tile scores;
  scores.load_rows(tile, queries, shared);
  for (int i = me; i < kRows * rules.heads; i += kScoreThreads) found[i] = 0;
  float shift[Tile::kRows], floor[Tile::kRows];
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const bool here = scores.row(i) < tile.rows;
    const int64_t row = tile.first_row + scores.row(i);
    shift[i] = here ? static_cast<float>(device::fused(-lse[row], static_cast<double>(kLog2OfE), rules.log2_budget)) : 0;
    floor[i] = here ? least[row] : 0;
  }
  const auto half_piece = [&](int half, int64_t first) {
    for (int head = 0; head < rules.heads; head += kHeadsAtOnce)
      for (int row = 0; row < tile.rows;) {  // of one share group
        const ScanBlock& block = blocks[tile.first_row + row];
        int next = row + 1;
        while (next < tile.rows && blocks[tile.first_row + next].group == block.group) ++next;
        make_thresholds(rules, block, head, first + half * kHalf, log_u);
        device::sync_block();
        float of_lane[kHeadsAtOnce];
#pragma unroll
        for (int h = 0; h < kHeadsAtOnce; ++h) of_lane[h] = log_u[h * kHalf + lane];
        const int warp_begin = me / 32 * kWarpRows, begin = row > warp_begin ? row : warp_begin,
                  end = next < warp_begin + kWarpRows ? next : warp_begin + kWarpRows;
        for (int r = begin; r < end; ++r)
          pick<kWrites>(rules, lists, log_pi[r * kStride + lane], of_lane, tile.first_row + r, r, head,
                        first + half * kHalf + lane, found);
        row = next;
        device::sync_block();
      }
  };
  const auto piece = [&](int64_t first, const float(&c)[Tile::kRows][Tile::kKeys]) {
    constexpr int kMine = Tile::kKeys / 2;  // of my keys in a half
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i)
#pragma unroll
        for (int j = 0; j < kMine; ++j) {
          const float score = half == 0 ? c[i][j] : c[i][j + kMine], x = device::fused(score, rules.scale, shift[i]);
          log_pi[scores.row(i) * kStride + scores.key(j)] = score == kUnseen ? kUnseen : x > floor[i] ? x : floor[i];
        }
      device::sync_block();
      half_piece(half, first);
    }
  };
  for_scores(scores, tile, keys, num_keys, blocks, {excluded, num_excluded}, shared, piece);
  if constexpr (!kWrites)
    for (int i = me; i < kRows * rules.heads; i += kScoreThreads)
      in_tile[device::block_in_grid() * kRows * rules.heads + i] = found[i];
}

// One thread a row of its group: turns the counts of its tiles into places within the lists.
__global__ void __launch_bounds__(kTileRows)
    add_tiles(Global<const ScanGroup> groups, int heads, Global<int32_t> in_tile, Global<int32_t> lengths) {
  const ScanGroup group = groups[device::block_in_grid()];
  const int row = device::thread_in_block();
  if (row >= group.rows) return;
  for (int h = 0; h < heads; ++h) {
    int32_t before = 0;
    for (int64_t tile = group.first_tile; tile < group.first_tile + group.tiles; ++tile) {
      const int64_t at = (tile * kTileRows + row) * heads + h;
      const int32_t count = in_tile[at];
      in_tile[at] = before;
      before += count;
    }
    lengths[(group.first_row + row) * heads + h] = before;
  }
}

template <class Tile, bool kWrites, class Element>
void draw_with(Stream stream, const DeviceScanInput<Element>& in, const DrawOptions& options,
               const DeviceDrawInput& with, const int64_t* start, int32_t* key, float* log_pi) {
  using Word = typename Tile::Word;
  const Rules rules{.scale = in.scale * kLog2OfE,
                    .log2_budget = std::log2(static_cast<double>(options.picks) * (1 - options.floor)),
                    .heads = options.heads,
                    .layer = options.layer,
                    .key = options.key};
  device::launch("draw", draw<Tile, kWrites>, in.num_tiles, kScoreThreads, stream, rules, in.num_keys, in.num_excluded,
                 reinterpret_cast<const Word*>(in.queries), reinterpret_cast<const Word*>(in.keys), in.blocks,
                 in.excluded, in.tiles, with.lse, with.least, with.in_tile, start, key, log_pi);
}

template <template <int> class Tile, bool kWrites, class Element>
void draw_any(Stream stream, const DeviceScanInput<Element>& in, const DrawOptions& options,
              const DeviceDrawInput& with, const int64_t* start, int32_t* key, float* log_pi) {
  if (options.mode != DrawMode::Poisson && options.mode != DrawMode::Uniform)
    fail(ErrorKind::Shape, "draw: on a GPU poisson or uniform");
  if (options.heads > kMostDeviceHeads)
    fail(ErrorKind::Shape, "draw: ", options.heads, " pick heads, on a GPU at most ", kMostDeviceHeads);
  switch (in.width) {
    case 16: draw_with<Tile<16>, kWrites>(stream, in, options, with, start, key, log_pi); break;
    case 32: draw_with<Tile<32>, kWrites>(stream, in, options, with, start, key, log_pi); break;
    case 64: draw_with<Tile<64>, kWrites>(stream, in, options, with, start, key, log_pi); break;
    default: fail(ErrorKind::Shape, "draw: width ", in.width, ", on a GPU 16, 32 or 64");
  }
}

template <template <int> class Tile, class Element>
void count_any(Stream stream, const DeviceScanInput<Element>& in, const DrawOptions& options,
               const DeviceDrawInput& with, int32_t* lengths) {
  draw_any<Tile, false>(stream, in, options, with, nullptr, nullptr, nullptr);
  device::launch("draw", add_tiles, in.num_groups, static_cast<int>(kTileRows), stream, in.groups, options.heads,
                 with.in_tile, lengths);
}

}  // namespace

template <>
void count_picks(Stream stream, const DeviceScanInput<uint16_t>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, int32_t* lengths) {
  count_any<BfloatTile>(stream, input, options, draw, lengths);
}
template <>
void count_picks(Stream stream, const DeviceScanInput<float>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, int32_t* lengths) {
  count_any<FloatTile>(stream, input, options, draw, lengths);
}
template <>
void write_picks(Stream stream, const DeviceScanInput<uint16_t>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, const int64_t* start, int32_t* key, float* log_pi) {
  draw_any<BfloatTile, true>(stream, input, options, draw, start, key, log_pi);
}
template <>
void write_picks(Stream stream, const DeviceScanInput<float>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, const int64_t* start, int32_t* key, float* log_pi) {
  draw_any<FloatTile, true>(stream, input, options, draw, start, key, log_pi);
}

}  // namespace smartbird::kernels
