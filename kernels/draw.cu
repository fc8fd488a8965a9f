// Pass B on a GPU. A block takes a tile (score_tile.cuh), and of every piece of its keys notes what its rows may pick
// (draw_picks.cuh, draw_notes.cuh). Two passes over the notes follow: one decides and counts the lists, the other,
// draw_place.cu, fills them; both go through a warp's notes in order, 32 at a time, so that lists are in order without
// sorting, and the same every time.
#include <cmath>

#include "core/error.h"
#include "kernels/draw_device.h"
#include "kernels/draw_picks.cuh"

namespace smartbird::kernels {
namespace {

// The warps' first chunks are taken.
__global__ void __launch_bounds__(32) open_pool(int32_t warps, Global<int32_t> taken) {
  if (device::thread_in_block() == 0) taken[0] = warps;
}

template <class Tile>
__global__ void __launch_bounds__(kScoreThreads, Tile::kDrawBlocks)
    draw(Rules rules, int64_t num_keys, int64_t num_excluded, Global<const typename Tile::Word> queries,
         Global<const typename Tile::Word> keys, Global<const ScanBlock> blocks, Global<const int64_t> excluded,
         Global<const ScanTile> tiles, Global<const double> lse, Global<const float> least, NotePool pool) {
  constexpr int kRows = Tile::kRows, kKeys = Tile::kKeys, kPieceKeys = Tile::kPieceKeys,
                kBuffers = Tile::kAhead ? 2 : 1;
  static_assert(kRows * kKeys == 32);
  SB_SHARED(typename Tile::Word, shared, Tile::kSharedWords);
  SB_SHARED(float, level, kBuffers* Tile::kStage* kPieceKeys);
  SB_SHARED(uint32_t, places, kDrawWarps * Finds::kRoom);
  SB_SHARED(int32_t, fresh, kDrawWarps);
  const ScanTile tile = tiles[device::block_in_grid()];
  Tile scores;
  ScanTile rows = tile;
  if (rules.scale == 0) rows.rows = 0;  // rows of zeros
  scores.load_rows(rows, queries, shared);
  float start[kRows], most_floor = 0;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const bool here = scores.row(i) < tile.rows;
    const double lse_of_row = here ? lse[tile.first_row + scores.row(i)] : 0;
    const double shift = device::fused(-lse_of_row, static_cast<double>(kLog2OfE), rules.log2_budget);
    start[i] = here ? device::larger(static_cast<float>(shift) * rules.per_score, kLowest) : kUnseen;
    if (here && least[tile.first_row + scores.row(i)] == kAll) start[i] = kHighest;
  }
  const int lane = device::thread_in_block() % 32;
  for (int row = lane; row < tile.rows; row += 32) {
    const float floor = least[tile.first_row + row];
    if (floor != kAll) most_floor = device::larger(most_floor, device::exp2_fast(floor));
  }
#pragma unroll
  for (int lanes = 1; lanes < 32; lanes *= 2)
    most_floor = device::larger(most_floor, device::shuffle_xor(most_floor, lanes));
  const auto end_of_group = [&](int row) {
    const int64_t group = blocks[tile.first_row + row].group;
    for (int first = row;; first += 32) {
      const int mine = first + lane;
      const uint32_t others = device::ballot(mine >= tile.rows || blocks[tile.first_row + mine].group != group);
      if (others != 0) return first + lowest_of(others);
    }
  };
  const int first_end = end_of_group(0);
  const int64_t sample = blocks[tile.first_row].sample, first_group = blocks[tile.first_row].group;
  NoteWriter writer(pool, fresh);
  Finds found(places, writer);
  const auto prepare = [&](int piece, int buffer) {
    find_levels<Tile::kStage>(rules, sample, first_group, static_cast<int64_t>(piece) * kPieceKeys, most_floor, level,
                              buffer * Tile::kStage * kPieceKeys);
  };
  const auto look = [&](int piece, int in_stage, const float(&c)[kRows][kKeys]) {
    for (int row = 0, end = first_end; row < tile.rows; row = end) {  // of one share group
      if (row > 0) {
        end = end_of_group(row);
        device::sync_block();
        find_levels<1>(rules, sample, blocks[tile.first_row + row].group, static_cast<int64_t>(piece) * kPieceKeys,
                       most_floor, level, in_stage * kPieceKeys);
        device::sync_block();
      }
      uint32_t bits = 0;
#pragma unroll
      for (int j = 0; j < kKeys; j += 4) {
        float levels[4];
        device::load_shared(level, in_stage * kPieceKeys + scores.first_key() + j, levels);
#pragma unroll
        for (int i = 0; i < kRows; ++i)
#pragma unroll
          for (int n = 0; n < 4; ++n)
            if (c[i][j + n] > levels[n]) bits |= uint32_t{1} << (i * kKeys + j + n);
      }
      if (row > 0 || end < tile.rows)
#pragma unroll
        for (int i = 0; i < kRows; ++i)
          if (scores.row(i) < row || scores.row(i) >= end) bits &= ~(((uint32_t{1} << kKeys) - 1) << i * kKeys);
      found.add(bits, scores.row(0), Tile::kRowStep, kKeys,
                (piece - tile.first_leaf * 2) * kPieceKeys + scores.first_key());
    }
  };
  static_assert(kLeafKeys == 2 * kPieceKeys);
  for_scores(scores, tile, keys, num_keys, blocks, {excluded, num_excluded}, shared, start, prepare, look);
  found.end();
  if (device::thread_in_block() % 32 == 0) writer.close(-1);
}

template <class Word, int kWords>
__global__ void __launch_bounds__(kScoreThreads)
    decide_notes(Scene<Word> scene, Global<const ScanTile> tiles, NotePool pool, Global<int32_t> in_tile) {
  SB_SHARED(int32_t, seen, kTileRows * kMostDeviceHeads);
  const ScanTile tile = tiles[device::block_in_grid()];
  const int heads = scene.rules.heads, numbers = kRowsOfWarp * heads, first = device::thread_in_block() / 32 * numbers;
  for (int i = device::thread_in_block() % 32; i < numbers; i += 32) seen[first + i] = 0;
  device::sync_warp();
  const auto load = [&](uint32_t place, int64_t note, bool there) {
    if (!there) return Decision{};
    const Decision made = decide<kWords>(scene, tile, device::thread_in_block() / 32, place);
    pool.heads[note] = made.heads, pool.chance[note] = made.chance;
    return made;
  };
  for_notes<int32_t>(pool, warp_in_grid(), heads, seen, first, load, [](const Decision&, int, int32_t) {});
  device::sync_warp();
  for (int i = device::thread_in_block() % 32; i < numbers; i += 32)
    in_tile[device::block_in_grid() * kTileRows * heads + first + i] = seen[first + i];
}

// One thread a row and head of its group: turns the counts of its tiles into places within the lists.
__global__ void __launch_bounds__(kScoreThreads)
    add_tiles(Global<const ScanGroup> groups, int heads, Global<int32_t> in_tile, Global<int32_t> lengths) {
  const ScanGroup group = groups[device::block_in_grid()];
  for (int i = device::thread_in_block(); i < group.rows * heads; i += kScoreThreads) {
    int32_t before = 0;
    for (int64_t tile = group.first_tile; tile < group.first_tile + group.tiles; ++tile) {
      const int64_t at = tile * kTileRows * heads + i;
      const int32_t count = in_tile[at];
      in_tile[at] = before;
      before += count;
    }
    lengths[group.first_row * heads + i] = before;
  }
}

template <template <int> class Tile, int kWidth, class Element>
void draw_with(Stream stream, const DeviceScanInput<Element>& in, const DrawOptions& options,
               const DeviceDrawInput& with) {
  using Word = typename Tile<kWidth>::Word;
  const float scale = in.scale * kLog2OfE;
  const Rules rules{.scale = scale,
                    .per_score = scale > 0 ? 1 / scale : 1,
                    .log2_budget = std::log2(static_cast<double>(options.picks) * (1 - options.floor)),
                    .heads = options.heads,
                    .layer = options.layer,
                    .key = options.key};
  device::launch("draw", draw<Tile<kWidth>>, in.num_tiles, kScoreThreads, stream, rules, in.num_keys, in.num_excluded,
                 reinterpret_cast<const Word*>(in.queries), reinterpret_cast<const Word*>(in.keys), in.blocks,
                 in.excluded, in.tiles, with.lse, with.least, pool_of(with.notes));
  const Scene<Word> scene{
      rules,     reinterpret_cast<const Word*>(in.queries), reinterpret_cast<const Word*>(in.keys), in.blocks, with.lse,
      with.least};
  device::launch("draw", decide_notes<Word, Tile<kWidth>::kWords>, in.num_tiles, kScoreThreads, stream, scene, in.tiles,
                 pool_of(with.notes), with.in_tile);
}

template <template <int> class Tile, class Element>
void count_any(Stream stream, const DeviceScanInput<Element>& in, const DrawOptions& options,
               const DeviceDrawInput& with, int32_t* lengths) {
  if (options.mode != DrawMode::Poisson && options.mode != DrawMode::Uniform)
    fail(ErrorKind::Shape, "draw: a GPU draws poisson and uniform picks, and none; set attention.draw to one of these");
  if (options.heads > kMostDeviceHeads)
    fail(ErrorKind::Shape, "draw: ", options.heads, " pick heads, on a GPU at most ", kMostDeviceHeads);
  if (in.width != 16 && in.width != 32 && in.width != 64)
    fail(ErrorKind::Shape, "draw: width ", in.width, ", on a GPU 16, 32 or 64");
  if (with.notes.chunks < in.num_tiles * kDrawWarps)
    fail(ErrorKind::Shape, "draw: ", with.notes.chunks, " chunks for the notes of ", in.num_tiles * kDrawWarps,
         " warps");
  device::launch("draw", open_pool, 1, 32, stream, static_cast<int32_t>(in.num_tiles * kDrawWarps), with.notes.taken);
  switch (in.width) {
    case 16: draw_with<Tile, 16>(stream, in, options, with); break;
    case 32: draw_with<Tile, 32>(stream, in, options, with); break;
    default: draw_with<Tile, 64>(stream, in, options, with);
  }
  device::launch("draw", add_tiles, in.num_groups, kScoreThreads, stream, in.groups, options.heads, with.in_tile,
                 lengths);
}

}  // namespace

void count_picks(Stream stream, const DeviceScanInput<uint16_t>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, int32_t* lengths) {
  count_any<BfloatTile>(stream, input, options, draw, lengths);
}
void count_picks(Stream stream, const DeviceScanInput<float>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, int32_t* lengths) {
  count_any<FloatTile>(stream, input, options, draw, lengths);
}
}  // namespace smartbird::kernels
