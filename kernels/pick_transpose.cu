// Least-significant-digit radix sort. A block takes a tile of 1,024 pairs, a warp 256 of them in their order, 32 at a time: the
// lanes that hold the same digit find each other by ballots, their places follow from the bits before theirs, so that equal
// digits keep their order. Counts of all tiles, digit by digit, are added up between counting and moving.
#include "kernels/pick_transpose.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/device.cuh"
#include "kernels/running_sums.cuh"

namespace smartbird::kernels {
namespace {

using device::Global, device::Shared;

constexpr int kThreads = 128, kWarps = kThreads / 32, kSteps = 8, kTile = kThreads * kSteps, kDigits = 256;

int64_t tiles_of(int64_t picks) { return (picks + kTile - 1) / kTile; }

// Lanes of my warp whose digit is mine; those beyond the end have none.
__device__ uint32_t same_digit(int digit, bool there) {
  uint32_t same = device::ballot(there);
#pragma unroll
  for (int bit = 0; bit < 8; ++bit) {
    const bool mine = (digit >> bit & 1) != 0;
    const uint32_t with = device::ballot(mine);
    same &= mine ? with : ~with;
  }
  return same;
}

// Walks the pairs of my warp in order: body(index, digit, how many of the warp's with this digit came before). seen [4, 256]
// counts them.
template <class Body>
__device__ void for_pairs(Global<const int32_t> key, int64_t count, int shift, const Shared<int32_t>& seen, Body body) {
  const int me = device::thread_in_block(), warp = me / 32, lane = me % 32;
  for (int i = me; i < kWarps * kDigits; i += kThreads) seen[i] = 0;
  device::sync_block();
  for (int step = 0; step < kSteps; ++step) {
    const int64_t i = device::block_in_grid() * kTile + (warp * kSteps + step) * 32 + lane;
    const bool there = i < count;
    const int digit = there ? key[i] >> shift & (kDigits - 1) : 0;
    const uint32_t same = same_digit(digit, there), before = same & ((uint32_t{1} << lane) - 1);
    const int came = there ? static_cast<int>(seen[warp * kDigits + digit]) : 0;
    device::sync_warp();
    if (there && before == 0) seen[warp * kDigits + digit] = came + device::count_bits(same);
    device::sync_warp();
    if (there) body(i, digit, came + device::count_bits(before));
  }
  device::sync_block();
}

// counts [256, tiles].
__global__ void __launch_bounds__(kThreads)
    count_digits(Global<const int32_t> key, int64_t count, int shift, int64_t tiles, Global<int32_t> counts) {
  SB_SHARED(int32_t, seen, kWarps* kDigits);
  for_pairs(key, count, shift, seen, [](int64_t, int, int) {});
  for (int digit = device::thread_in_block(); digit < kDigits; digit += kThreads) {
    int32_t sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += seen[warp * kDigits + digit];
    counts[digit * tiles + device::block_in_grid()] = sum;
  }
}

// indices: the values are the places of the pairs.
__global__ void __launch_bounds__(kThreads)
    move_pairs(Global<const int32_t> key, Global<const int32_t> value, bool indices, int64_t count, int shift,
               int64_t tiles, Global<const int32_t> counts, Global<int32_t> to_key, Global<int32_t> to_value) {
  SB_SHARED(int32_t, seen, kWarps* kDigits);
  SB_SHARED(int32_t, warp_start, kWarps* kDigits);
  for_pairs(key, count, shift, seen, [](int64_t, int, int) {});
  for (int digit = device::thread_in_block(); digit < kDigits; digit += kThreads) {
    int32_t at = counts[digit * tiles + device::block_in_grid()];
    for (int warp = 0; warp < kWarps; ++warp) {
      warp_start[warp * kDigits + digit] = at;
      at += seen[warp * kDigits + digit];
    }
  }
  device::sync_block();
  const int warp = device::thread_in_block() / 32;
  for_pairs(key, count, shift, seen, [&](int64_t i, int digit, int before) {
    const int32_t to = warp_start[warp * kDigits + digit] + before;
    to_key[to] = key[i], to_value[to] = indices ? static_cast<int32_t>(i) : value[i];
  });
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

int passes_of(int64_t units) {
  int passes = 1;
  while (units > int64_t{1} << 8 * passes) ++passes;
  return passes;
}

}  // namespace

int64_t pick_transpose_bytes(int64_t picks) {
  const int64_t counts = tiles_of(picks) * kDigits;
  return 4 * (3 * picks + counts + running_totals(counts));
}

void pick_transpose(Stream stream, int64_t picks, int64_t units, const int32_t* pick_unit, void* memory,
                    TransposedPicks out) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (picks >= kMost || units >= kMost)
    fail(ErrorKind::Shape, "pick_transpose: ", picks, " picks of ", units, " units, fewer than 2^31 fit");
  // Pairs go from one buffer to the other; the last pass ends in out.pick.
  int32_t *keys[2], *other = static_cast<int32_t*>(memory) + 2 * picks;
  keys[0] = static_cast<int32_t*>(memory), keys[1] = keys[0] + picks;
  int32_t *counts = other + picks, *totals = counts + tiles_of(picks) * kDigits;
  const int64_t tiles = tiles_of(picks);
  const int passes = passes_of(units);
  const int32_t *from_key = pick_unit, *from = nullptr;
  for (int pass = 0; pass < passes && picks > 0; ++pass) {
    int32_t* to = (passes - pass) % 2 == 1 ? out.pick : other;
    device::launch("pick_transpose", count_digits, tiles, kThreads, stream, from_key, picks, 8 * pass, tiles, counts);
    running_sums(stream, counts, tiles * kDigits, totals);
    device::launch("pick_transpose", move_pairs, tiles, kThreads, stream, from_key, from, from == nullptr, picks,
                   8 * pass, tiles, counts, keys[pass % 2], to);
    from_key = keys[pass % 2], from = to;
  }
  device::launch("pick_transpose", find_starts, units / kThreads + 1, kThreads, stream, from_key, picks, units,
                 out.start);
}

}  // namespace smartbird::kernels
