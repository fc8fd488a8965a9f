// Pass B on a GPU. A block takes a tile (score_tile.cuh). Of every piece of its keys, half a piece at a time, each thread turns its
// scores into probabilities and compares them with the least random number that any head has for the key. Few rows have a key
// that exceeds it; of these the warp goes through such keys in order, a head to a lane, and each lane adds the key to its list:
// lists are in order without sorting, and the same every time. Random numbers and probabilities are compared as such, not their
// logarithms, which only picks need. Counting notes what it met, and writing goes by the notes.
#include "kernels/draw_device.h"

#include <cmath>

#include "core/error.h"
#include "kernels/draw_picks.cuh"
#include "kernels/score_tile.cuh"

namespace smartbird::kernels {
namespace {

// Whether a warp of my tile has met more picks than it could note.
__device__ inline bool notes_lack(const Notes& notes) {
  bool lack = false;
  for (int warp = 0; warp < kDrawWarps; ++warp)
    lack = lack || notes.met[device::block_in_grid() * kDrawWarps + warp] > notes.capacity;
  return lack;
}

template <class Tile, bool kWrites>
__global__ void __launch_bounds__(kScoreThreads, Tile::kWords == 32 ? 3 : 4)
    draw(Rules rules, int64_t num_keys, int64_t num_excluded, Global<const typename Tile::Word> queries,
         Global<const typename Tile::Word> keys, Global<const ScanBlock> blocks, Global<const int64_t> excluded,
         Global<const ScanTile> tiles, Global<const double> lse, Global<const float> least, Global<int32_t> in_tile,
         Global<const int64_t> start, Global<int32_t> out_key, Global<float> out_log_pi, Notes notes) {
  if (kWrites && !notes_lack(notes)) return;
  constexpr int kRows = static_cast<int>(kTileRows);
  SB_SHARED(typename Tile::Word, shared, Tile::kSharedWords);
  SB_SHARED(float, chance, kRows* kStride);
  SB_SHARED(float, uniform, kHeadsAtOnce* kStride);
  SB_SHARED(float, least_uniform, kHalf);
  constexpr uint32_t kLanesOfRow = (uint32_t{1} << Tile::kRowLanes) - 1;
  SB_SHARED(uint16_t, found, kRows* kMostDeviceHeads);  // picks of (row, head) before
  const ScanTile tile = tiles[device::block_in_grid()];
  const Lists lists{start, in_tile, out_key, out_log_pi};
  const int me = device::thread_in_block();
  Tile scores;
  scores.load_rows(tile, queries, shared);
  for (int i = me; i < kRows * rules.heads; i += kScoreThreads) found[i] = 0;
  float shift[Tile::kRows], floor[Tile::kRows];
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const bool here = scores.row(i) < tile.rows;
    const int64_t row = tile.first_row + scores.row(i);
    shift[i] = here ? static_cast<float>(device::fused(-lse[row], static_cast<double>(kLog2OfE), rules.log2_budget)) : 0;
    floor[i] = here ? device::exp2_fast(least[row]) : 0;
  }
  constexpr int kMine = Tile::kKeys / 2;  // of my keys in half a piece
  const auto half_piece = [&](int64_t first, const float(&p)[Tile::kRows][kMine]) {
    for (int head = 0; head < rules.heads; head += kHeadsAtOnce)
      for (int row = 0; row < tile.rows;) {  // of one share group
        const ScanBlock& block = blocks[tile.first_row + row];
        int next = row + 1;
        while (next < tile.rows && blocks[tile.first_row + next].group == block.group) ++next;
        if (me / 32 == first / kHalf % (kScoreThreads / 32))  // the warps take turns
          make_uniforms(rules, block, head, first, uniform, least_uniform);
        device::sync_block();
        bool hit[Tile::kRows] = {};
#pragma unroll
        for (int j = 0; j < kMine; ++j) {
          const float least_of_key = least_uniform[scores.key(j)];
#pragma unroll
          for (int i = 0; i < Tile::kRows; ++i) hit[i] = hit[i] || p[i][j] > least_of_key;
        }
#pragma unroll
        for (int i = 0; i < Tile::kRows; ++i) {
          const int mine = scores.row(i);
          uint32_t lanes = device::ballot(hit[i] && mine >= row && mine < next);
          while (lanes != 0) {
            const int one = device::count_bits((lanes & (0 - lanes)) - 1), r = scores.row_of(one, i);
            pick<kWrites>(rules, lists, notes, {chance, uniform, least_uniform, first}, tile.first_row + r, r, head, found);
            lanes &= ~(kLanesOfRow << one / Tile::kRowLanes * Tile::kRowLanes);
          }
        }
        row = next;
        device::sync_block();
      }
  };
  const auto piece = [&](int64_t first, const float(&c)[Tile::kRows][Tile::kKeys], bool masked) {
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
      float p[Tile::kRows][kMine];
#pragma unroll
      for (int i = 0; i < Tile::kRows; ++i)
#pragma unroll
        for (int j = 0; j < kMine; ++j) {
          const float score = half == 0 ? c[i][j] : c[i][j + kMine];
          p[i][j] = device::larger(device::exp2_fast(device::fused(score, rules.scale, shift[i])), floor[i]);
          if (masked && score == kUnseen) p[i][j] = 0;
          chance[scores.row(i) * kStride + scores.key(j)] = p[i][j];
        }
      half_piece(first + half * kHalf, p);
    }
  };
  for_scores(scores, tile, keys, num_keys, blocks, {excluded, num_excluded}, shared, piece);
  if constexpr (!kWrites) {
    for (int i = me; i < kRows * rules.heads; i += kScoreThreads)
      in_tile[device::block_in_grid() * kRows * rules.heads + i] = found[i];
    if (me % 32 == 0) notes.met[Notes::warp()] = notes.mine;
  }
}

// A warp's notes to their places.
__global__ void __launch_bounds__(kScoreThreads)
    place_notes(int heads, Global<const ScanTile> tiles, Notes notes, Global<const int32_t> in_tile,
                Global<const int64_t> start, Global<int32_t> key, Global<float> log_pi) {
  const int count = notes.met[Notes::warp()];
  if (count > notes.capacity) return;  // the tile is gone over again
  const int64_t first_row = tiles[device::block_in_grid()].first_row;
  for (int i = device::thread_in_block() % 32; i < count; i += 32) {
    const int64_t at = Notes::warp() * notes.capacity + i;
    const uint32_t place = notes.place[at];
    const int64_t of = place >> 16, to = start[first_row * heads + of] +
                                         in_tile[device::block_in_grid() * kTileRows * heads + of] + (place & 0xffff);
    const float chance = notes.chance[at];
    key[to] = notes.key[at];
    log_pi[to] = chance < 1 ? logf(chance) : 0;
  }
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

Notes notes_of(const DeviceDrawInput& with) {
  const DeviceDrawNotes& notes = with.notes;
  return {notes.met, notes.place, notes.key, notes.chance, notes.capacity};
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
                 in.excluded, in.tiles, with.lse, with.least, with.in_tile, start, key, log_pi, notes_of(with));
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

template <template <int> class Tile, class Element>
void write_any(Stream stream, const DeviceScanInput<Element>& in, const DrawOptions& options,
               const DeviceDrawInput& with, const int64_t* start, int32_t* key, float* log_pi) {
  draw_any<Tile, true>(stream, in, options, with, start, key, log_pi);
  device::launch("draw", place_notes, in.num_tiles, kScoreThreads, stream, options.heads, in.tiles, notes_of(with),
                 with.in_tile, start, key, log_pi);
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
  write_any<BfloatTile>(stream, input, options, draw, start, key, log_pi);
}
template <>
void write_picks(Stream stream, const DeviceScanInput<float>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, const int64_t* start, int32_t* key, float* log_pi) {
  write_any<FloatTile>(stream, input, options, draw, start, key, log_pi);
}

}  // namespace smartbird::kernels
