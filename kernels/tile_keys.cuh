// How sixteen neighbouring rows of a head go through their keys together, one warp a tile (mma_tile.cuh), sixteen keys at
// a time: the keys of all their bands, then of all their picks, each read once. A key that a row does not attend has bias
// -inf there. Sixteen keys of the band begin at a multiple of 16, so that they are the same ones for whatever rows. Picks
// were united before (pick_unite.h).
#pragma once

#include "kernels/mma_tile.cuh"
#include "kernels/pick_unite.h"

namespace smartbird::kernels {

inline constexpr int32_t kNoKey = INT32_MAX;
static_assert(kMmaRows == kUnitedRows && kMmaRows == kUnitedKeys);

// Which tile and head a warp takes: neighbouring tiles of one head share a block.
struct TileOfWarp {
  int64_t first;  // row
  int head;
};
__device__ inline TileOfWarp tile_of_warp(int64_t rows) {
  const RowOfWarp warp = row_of_warp((rows + kMmaRows - 1) / kMmaRows);
  return {warp.row * kMmaRows, warp.head};
}
template <class Element>
int64_t blocks_of_tiles(const DeviceAttentionInput<Element>& in) {
  return ((in.rows + kMmaRows - 1) / kMmaRows + kGatherWarps - 1) / kGatherWarps * in.heads;
}

// The keys of a step: lanes n and n + 16 hold the unit of key n, -1 = none.
struct TileUnits {
  int32_t mine;

  // Of the key in the lane's column of row-half c, for products().
  __device__ int32_t column(int c) const { return device::shuffle(mine, 8 * c + lane_group()); }
};

// The lane's four keys of a step, for sums: kSecond 0: the keys themselves, 1: their values. They are on their way from the
// start where there are registers for them.
template <int kWidth, int kSecond>
struct FourUnits {
  static constexpr bool kAhead = kWidth < 128;
  int32_t unit[4];
  FourRows<kWidth> rows;

  __device__ FourUnits(const TileUnits& units, device::Global<const uint32_t> kv) {
#pragma unroll
    for (int r = 0; r < 4; ++r) unit[r] = device::shuffle(units.mine, other_of(r / 2, r));
    if (kAhead) load(kv, 0);
  }
  __device__ void load(device::Global<const uint32_t> kv, int part) {
    int64_t row[4];
    bool there[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) row[r] = 2 * static_cast<int64_t>(unit[r]) + kSecond, there[r] = unit[r] >= 0;
    rows.load(kv, row, there, part);
  }
  __device__ void add_to(TileSums<kWidth>& sum, const uint32_t (&left)[4], device::Global<const uint32_t> kv) {
#pragma unroll
    for (int part = 0; part < FourRows<kWidth>::kParts; ++part) {
      if (!kAhead) load(kv, part);
      sum.add(left, rows, part);
    }
  }
};

// body(units, bias): bias[c][i] in base 2 for row g + 8 (i / 2) and key other_of(c, i).
template <class Body>
__device__ void for_band_of_tile(const KeyLists& lists, int64_t rows, int64_t first, int64_t slot_base, Body body) {
  const int lane = device::thread_in_block() % kMmaRows;
  const bool there = first + lane < rows;
  const auto begin = static_cast<int32_t>(there ? lists.band_begin[first + lane] : 0),
             end = static_cast<int32_t>(there ? lists.band_end[first + lane] : 0);
  const int32_t last = -device::least(-end);
  int32_t row_begin[2], row_end[2];
#pragma unroll
  for (int half = 0; half < 2; ++half)
    row_begin[half] = device::shuffle(begin, lane_group() + 8 * half),
    row_end[half] = device::shuffle(end, lane_group() + 8 * half);
  for (int32_t done = 0;;) {
    const int32_t wanted = begin > done ? begin : done, next = device::least(wanted < end ? wanted : kNoKey);
    if (next == kNoKey) return;
    const int32_t token = next / kMmaRows * kMmaRows, slot = token + lane < last ? lists.token_slot[token + lane] : -1;
    const uint32_t here = device::ballot(slot >= 0);
    float bias[2][4];
#pragma unroll
    for (int c = 0; c < 2; ++c)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = other_of(c, i);
        const bool on = token + key >= row_begin[i / 2] && token + key < row_end[i / 2] && (here >> key & 1) != 0;
        bias[c][i] = on ? 0 : kNothing;
      }
    body(TileUnits{slot < 0 ? -1 : static_cast<int32_t>(slot_base + slot)}, bias);
    done = token + kMmaRows;
  }
}

// A row's log π lie in the order of its list: the lane's two rows know how far they are in theirs.
template <class Body>
__device__ void for_picks_of_tile(const KeyLists& lists, int64_t rows, int64_t first, int pick_heads, int pick_head,
                                  Body body) {
  const int key = device::thread_in_block() % kMmaRows;
  int32_t at[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = first + lane_group() + 8 * half;
    at[half] = row < rows ? static_cast<int32_t>(lists.pick_start[lists.row_block[row] * pick_heads + pick_head]) : 0;
  }
  const int64_t list = first / kMmaRows * pick_heads + pick_head;
  int32_t step = static_cast<int32_t>(lists.tile_start[list] * kMmaRows);
  const int32_t end = static_cast<int32_t>(lists.tile_start[list + 1] * kMmaRows);
  int32_t unit = -1;      // of the next step, on its way while this one is worked on
  uint32_t row_bits = 0;  // of the lane's two rows, a half each
  const auto read = [&] {
    if (step >= end) return;
    unit = lists.tile_unit[step + key];
    row_bits = lists.tile_bits[step + lane_group()] | static_cast<uint32_t>(lists.tile_bits[step + lane_group() + 8])
                                                          << 16;
  };
  read();
  while (step < end) {
    const TileUnits units{unit};
    const uint32_t now = row_bits;
    step += kMmaRows;
    read();
    float bias[2][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint32_t bits = now >> 16 * half & 0xffffU;
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const int other = other_of(n / 2, n);
        float& to = bias[n / 2][2 * half + n % 2];
        to = kNothing;
        if ((bits >> other & 1) != 0)
          to = -lists.pick_log_pi[at[half] + device::count_bits(bits & ((uint32_t{1} << other) - 1))] * kLog2OfE;
      }
      at[half] += device::count_bits(bits);
    }
    body(units, bias);
  }
}

// Both, of a tile and query head.
template <class Body>
__device__ void for_tile(const DeviceAttentionInput<uint16_t>& in, const KeyLists& lists, int64_t first, int head,
                         Body body) {
  for_band_of_tile(lists, in.rows, first, head / (in.heads / in.kv_heads) * in.slots, body);
  if (in.pick_heads > 0)
    for_picks_of_tile(lists, in.rows, first, in.pick_heads, head / (in.heads / in.pick_heads), body);
}

}  // namespace smartbird::kernels
