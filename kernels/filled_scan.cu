// Fills the budget of a draw on a GPU. A round: a block takes a tile (score_tile.cuh) and counts, for each row, the keys that are
// certain at the row's c, and the sum of c p over them; a thread a row joins the tiles and raises c. Few keys are certain, so that a
// round costs the product and a comparison a pair.
#include "core/error.h"
#include "kernels/filled_scan_device.h"
#include "kernels/score_tile.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

// What a row has found in a tile.
struct Certain {
  float count = 0, sum = 0;  // keys with c p >= 1, Σ c p over them
  // Scores x[i] · scale = log2 c p.
  template <int kCount>
  __device__ void add(const float (&x)[kCount], float scale) {
    float most = x[0];
#pragma unroll
    for (int i = 1; i < kCount; ++i) most = device::larger(most, x[i]);
    if (!(most >= 0)) return;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      if (x[i] >= 0) count += 1, sum += device::exp2_fast(x[i] * scale);
  }
  __device__ void join(int lanes) {
    count += device::shuffle_xor(count, lanes), sum += device::shuffle_xor(sum, lanes);
  }
};

__device__ inline int64_t place_of(int64_t tile, int row) { return (tile * kTileRows + row) * 2; }

// now: lse in the first round, then filled; before: now, a round earlier; where it did not move, neither does what was found.
template <class Tile>
__global__ void __launch_bounds__(kScoreThreads, Tile::kScanBlocks)
    find_certain(float scale, double log2_budget, bool first_round, int64_t num_keys, int64_t num_excluded,
                 Global<const typename Tile::Word> queries, Global<const typename Tile::Word> keys,
                 Global<const ScanBlock> blocks, Global<const int64_t> excluded, Global<const ScanTile> tiles,
                 Global<const double> before, Global<const double> now, Global<float> memory) {
  SB_SHARED(typename Tile::Word, shared, Tile::kSharedWords);
  const ScanTile tile = tiles[device::block_in_grid()];
  bool moved = first_round;
  for (int row = device::thread_in_block() % 32; row < tile.rows && !moved; row += 32)
    moved = before[tile.first_row + row] != now[tile.first_row + row];
  if (device::ballot(moved) == 0) return;  // every warp sees the same rows
  Tile scores;
  scores.load_rows(tile, queries, shared);
  float start[Tile::kRows];
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    const bool here = scores.row(i) < tile.rows;
    const double lse = here ? now[tile.first_row + scores.row(i)] : 0;
    const double shift = device::fused(-lse, static_cast<double>(kLog2OfE), log2_budget);
    start[i] = here ? static_cast<float>(shift) / scale : kUnseen;
  }
  Certain found[Tile::kRows];
  const auto look = [&](int, int, const float(&c)[Tile::kRows][Tile::kKeys]) {
#pragma unroll
    for (int i = 0; i < Tile::kRows; ++i) found[i].add(c[i], scale);
  };
  for_scores(
      scores, tile, keys, num_keys, blocks, {excluded, num_excluded}, shared, start, [](int, int) {}, look);
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i) {
    for (int lanes = 1; lanes < Tile::kRowLanes; lanes *= 2) found[i].join(lanes);
    if (!scores.leads()) continue;
    const int64_t at = place_of(device::block_in_grid(), scores.row(i));
    memory[at] = found[i].count, memory[at + 1] = found[i].sum;
  }
}

// One thread a row of its group.
__global__ void __launch_bounds__(kTileRows)
    raise(double budget, bool first_round, Global<const ScanGroup> groups, Global<const float> memory,
          Global<const double> lse, Global<double> before, Global<double> filled) {
  const ScanGroup group = groups[device::block_in_grid()];
  const int row = device::thread_in_block();
  if (row >= group.rows) return;
  double certain = 0, sum = 0;
  for (int64_t tile = group.first_tile; tile < group.first_tile + group.tiles; ++tile)
    certain += memory[place_of(tile, row)], sum += memory[place_of(tile, row) + 1];
  const int64_t at = group.first_row + row;
  const double whole = lse[at], now = first_round ? whole : filled[at], left = 1 - sum * exp(now - whole) / budget;
  double next = now;
  if (certain > 0 && certain < budget)
    next = whole - log((budget - certain) / (budget * (left > kLeastLeft ? left : kLeastLeft)));
  before[at] = now, filled[at] = next < now ? next : now;
}

template <class Tile, class Element>
void round_with(Stream stream, const DeviceScanInput<Element>& in, double budget, bool first, const double* before,
                const double* now, float* memory) {
  using Word = typename Tile::Word;
  device::launch("filled_scan", find_certain<Tile>, in.num_tiles, kScoreThreads, stream, in.scale * kLog2OfE,
                 std::log2(budget), first, in.num_keys, in.num_excluded, reinterpret_cast<const Word*>(in.queries),
                 reinterpret_cast<const Word*>(in.keys), in.blocks, in.excluded, in.tiles, before, now, memory);
}

template <template <int> class Tile, class Element>
void fill_any(Stream stream, const DeviceScanInput<Element>& in, const DrawOptions& options, const double* lse,
              float* memory, double* before, double* filled) {
  const double budget = static_cast<double>(options.picks) * (1 - options.floor);
  const int rounds = budget > 1 ? kFillRounds : 1;  // up to 1 no key can be certain, and one round copies
  for (int round = 0; round < rounds; ++round) {
    const bool first = round == 0;
    const double* now = first ? lse : filled;
    switch (in.width) {
      case 16: round_with<Tile<16>>(stream, in, budget, first, before, now, memory); break;
      case 32: round_with<Tile<32>>(stream, in, budget, first, before, now, memory); break;
      case 64: round_with<Tile<64>>(stream, in, budget, first, before, now, memory); break;
      default: fail(ErrorKind::Shape, "filled_scan: width ", in.width, ", on a GPU 16, 32 or 64");
    }
    device::launch("filled_scan", raise, in.num_groups, static_cast<int>(kTileRows), stream, budget, first, in.groups,
                   memory, lse, before, filled);
  }
}

}  // namespace

template <>
void fill_budget(Stream stream, const DeviceScanInput<uint16_t>& input, const DrawOptions& options, const double* lse,
                 float* memory, double* before, double* filled) {
  fill_any<BfloatTile>(stream, input, options, lse, memory, before, filled);
}
template <>
void fill_budget(Stream stream, const DeviceScanInput<float>& input, const DrawOptions& options, const double* lse,
                 float* memory, double* before, double* filled) {
  fill_any<FloatTile>(stream, input, options, lse, memory, before, filled);
}

}  // namespace smartbird::kernels
