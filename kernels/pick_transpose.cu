// Least-significant-digit radix sort. A block takes a tile of 4,096 picks, a warp 512 of them in their order, 32 at a
// time: the lanes that hold the same digit find each other by ballots, their places follow from the bits before theirs,
// so that equal digits keep their order. Counts of all tiles, digit by digit, are added up between counting and moving.
// A tile is brought into its order in shared memory first, so that neighbouring threads write to neighbouring places.
#include "core/error.h"
#include "kernels/device.cuh"
#include "kernels/lanes.cuh"
#include "kernels/pick_transpose.h"
#include "kernels/running_sums.cuh"

namespace smartbird::kernels {
namespace {

using device::Global, device::Shared;

constexpr int kThreads = 256, kWarps = kThreads / 32, kSteps = 16, kTile = kThreads * kSteps, kMostBits = 8,
              kMostDigits = 1 << kMostBits;

int64_t tiles_of(int64_t picks) { return (picks + kTile - 1) / kTile; }

struct Digit {
  int shift = 0, bits = 0;
  __device__ int of(int32_t key) const { return key >> shift & ((1 << bits) - 1); }
};

// The number of every pick of mine among those of its warp and digit; seen [8, 256] counts those.
struct Ranks {
  int32_t key[kSteps];
  int rank[kSteps];

  __device__ static int64_t index(int step) {
    const int me = device::thread_in_block();
    return device::block_in_grid() * kTile + (me / 32 * kSteps + step) * 32 + me % 32;
  }
  __device__ void find(Global<const int32_t> keys, int64_t count, Digit digit, const Shared<int32_t>& seen) {
    const int me = device::thread_in_block(), row = me / 32 * kMostDigits;
    for (int i = me; i < kWarps * kMostDigits; i += kThreads) seen[i] = 0;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) key[step] = index(step) < count ? keys[index(step)] : 0;
    device::sync_block();
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const bool there = index(step) < count;
      const int mine = digit.of(key[step]);
      const uint32_t same = same_number(mine, digit.bits, there), before = same & lanes_below();
      const int came = there ? static_cast<int>(seen[row + mine]) : 0;
      device::sync_warp();
      if (there && before == 0) seen[row + mine] = came + device::count_bits(same);
      device::sync_warp();
      rank[step] = came + device::count_bits(before);
    }
    device::sync_block();
  }
};

// counts [digits, tiles].
__global__ void __launch_bounds__(kThreads, 2)
    count_digits(Global<const int32_t> key, int64_t count, Digit digit, int64_t tiles, Global<int32_t> counts) {
  SB_SHARED(int32_t, seen, kWarps * kMostDigits);
  Ranks ranks;
  ranks.find(key, count, digit, seen);
  for (int d = device::thread_in_block(); d < 1 << digit.bits; d += kThreads) {
    int32_t sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += seen[warp * kMostDigits + d];
    counts[d * tiles + device::block_in_grid()] = sum;
  }
}

__global__ void __launch_bounds__(kThreads, 2)
    move_picks(Global<const int32_t> key, Global<const int32_t> list, Global<const float> log_pi, int64_t count,
               Digit digit, int64_t tiles, Global<const int32_t> counts, Global<int32_t> to_key,
               Global<int32_t> to_list, Global<float> to_log_pi) {
  SB_SHARED(int32_t, seen, kWarps * kMostDigits);
  SB_SHARED(int32_t, begin, kMostDigits);  // of a digit, in the tile; then what leads from there to its place
  SB_SHARED(uint32_t, stage, kTile);
  static_assert(kThreads >= kMostDigits);
  Ranks ranks;
  ranks.find(key, count, digit, seen);
  const int me = device::thread_in_block(), digits = 1 << digit.bits;
  int32_t all = 0;  // of my digit
  if (me < digits) {
    for (int warp = 0; warp < kWarps; ++warp) {
      const int32_t mine = seen[warp * kMostDigits + me];
      seen[warp * kMostDigits + me] = all;
      all += mine;
    }
    begin[me] = all;
  }
  for (int by = 1; by < digits; by *= 2) {  // running sums
    device::sync_block();
    const int32_t before = me >= by && me < digits ? static_cast<int32_t>(begin[me - by]) : 0;
    device::sync_block();
    if (me < digits) begin[me] = begin[me] + before;
  }
  device::sync_block();
  const int warp = me / 32;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int mine = digit.of(ranks.key[step]);
    ranks.rank[step] += seen[warp * kMostDigits + mine] + (mine == 0 ? 0 : static_cast<int32_t>(begin[mine - 1]));
  }
  device::sync_block();
  int32_t shift = 0;
  if (me < digits) shift = counts[me * tiles + device::block_in_grid()] - (begin[me] - all);
  device::sync_block();
  if (me < digits) begin[me] = shift;
  const int64_t left = count - device::block_in_grid() * kTile;
  const int here = left < kTile ? static_cast<int>(left) : kTile;
  int32_t to[kSteps];
  // Brings what thread and step hold into the order of the tile, and calls write(step, number).
  const auto move = [&](auto mine, auto write) {
    device::sync_block();
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
      if (Ranks::index(step) < count) stage[ranks.rank[step]] = mine(step);
    device::sync_block();
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
      if (step * kThreads + me < here) write(step, stage[step * kThreads + me]);
  };
  move([&](int step) { return static_cast<uint32_t>(ranks.key[step]); },
       [&](int step, uint32_t number) {
         to[step] = begin[digit.of(static_cast<int32_t>(number))] + step * kThreads + me;
         to_key[to[step]] = static_cast<int32_t>(number);
       });
  move([&](int step) { return static_cast<uint32_t>(list[Ranks::index(step)]); },
       [&](int step, uint32_t number) { to_list[to[step]] = static_cast<int32_t>(number); });
  move([&](int step) { return device::bits_of(log_pi[Ranks::index(step)]); },
       [&](int step, uint32_t number) { to_log_pi[to[step]] = device::float_of(number); });
}

// start of unit u: the first pair whose key is u or beyond.
__global__ void __launch_bounds__(kThreads)
    find_starts(Global<const int32_t> key, int64_t count, int64_t units, Global<int64_t> start) {
  const int64_t unit = device::block_in_grid() * kThreads + device::thread_in_block();
  if (unit > units) return;
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (key[middle] >= unit)
      high = middle;
    else
      low = middle + 1;
  }
  start[unit] = low;
}

int bits_of_units(int64_t units) {
  int bits = 1;
  while (units > int64_t{1} << bits) ++bits;
  return bits;
}

int64_t counts_of(int64_t picks) { return tiles_of(picks) * kMostDigits; }

}  // namespace

int64_t pick_transpose_bytes(int64_t picks) {
  return 4 * (4 * picks + counts_of(picks) + running_totals(counts_of(picks)));
}

void pick_transpose(Stream stream, int64_t picks, int64_t units, const PicksByRow& in, void* memory, PicksByUnit out) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (picks >= kMost || units >= kMost)
    fail(ErrorKind::Shape, "pick_transpose: ", picks, " picks of ", units, " units, fewer than 2^31 fit");
  // Picks go from one place to the other; the last pass ends in `out`.
  int32_t* const numbers = static_cast<int32_t*>(memory);
  int32_t *keys[2] = {numbers, numbers + picks}, *other_list = numbers + 2 * picks, *counts = numbers + 4 * picks;
  float* const other_log_pi = reinterpret_cast<float*>(numbers + 3 * picks);
  const int64_t tiles = tiles_of(picks);
  const int bits = bits_of_units(units), passes = (bits + kMostBits - 1) / kMostBits;
  PicksByRow from = in;
  for (int pass = 0, shift = 0; pass < passes && picks > 0; ++pass) {
    const Digit digit{shift, (bits - shift) / (passes - pass)};
    const bool ends = (passes - pass) % 2 == 1;
    int32_t *const to_key = keys[pass % 2], *const to_list = ends ? out.list : other_list;
    float* const to_log_pi = ends ? out.log_pi : other_log_pi;
    device::launch("pick_transpose", count_digits, tiles, kThreads, stream, from.unit, picks, digit, tiles, counts);
    running_sums(stream, counts, tiles << digit.bits, counts + counts_of(picks));
    device::launch("pick_transpose", move_picks, tiles, kThreads, stream, from.unit, from.list, from.log_pi, picks,
                   digit, tiles, counts, to_key, to_list, to_log_pi);
    from = {to_key, to_list, to_log_pi};
    shift += digit.bits;
  }
  device::launch("pick_transpose", find_starts, units / kThreads + 1, kThreads, stream, from.unit, picks, units,
                 out.start);
}

}  // namespace smartbird::kernels
