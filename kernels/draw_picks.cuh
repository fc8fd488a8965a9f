// What a warp of draw.cu does with the half piece that it works on: makes its random numbers, finds a row's picks, and writes or notes
// them.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/device.cuh"
#include "kernels/draw_device.h"
#include "kernels/scan_tiles.h"

namespace smartbird::kernels {
namespace {

using device::Global, device::Shared;

constexpr int kHeadsAtOnce = 8;                 // of two Philox blocks
constexpr int kHalf = 32, kStride = kHalf + 1;  // keys of half a piece; a row of them
constexpr float kBelowOne = 1 - 0x1p-24F, kNever = std::numeric_limits<float>::infinity();

struct Rules {
  float scale = 1;         // of scores, to base 2
  double log2_budget = 0;  // log2(K (1 - ε))
  int heads = 1, layer = 0;
  PhiloxKey key;
};

// The uniforms of a share group for heads [head, head + 8) and keys [first, first + 32), and the least of each key, by one warp.
__device__ inline void make_uniforms(const Rules& rules, const ScanBlock& block, int head, int64_t first,
                                     const Shared<float>& u, const Shared<float>& least) {
  const int lane = device::thread_in_block() % 32;
  PhiloxKey key = rules.key;
  key.high ^= static_cast<uint32_t>(block.sample >> 32);
  float low = kNever;
#pragma unroll
  for (int four = 0; four < kHeadsAtOnce; four += 4) {
    if (head + four >= rules.heads) break;
    const PhiloxCounter words = philox({static_cast<uint32_t>(block.sample), static_cast<uint32_t>(block.group),
                                        static_cast<uint32_t>(rules.layer * 65536 + (head + four) / 4),
                                        static_cast<uint32_t>(first + lane)},
                                       key);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const float x = (static_cast<float>(words[n]) + 0.5F) * 0x1p-32F;
      const float mine = head + four + n >= rules.heads ? kNever : x < kBelowOne ? x : kBelowOne;
      u[(four + n) * kStride + lane] = mine;
      low = low < mine ? low : mine;
    }
  }
  least[lane] = low;
}

// Where a row's picks go.
struct Lists {
  Global<const int64_t> start;
  Global<int32_t> in_tile, key;
  Global<float> log_pi;
};

// The half piece that is worked on.
struct Half {
  Shared<float> chance, uniform, least;  // [64, 32] π of rows and keys, [8, 32] of heads and keys, [32]
  int64_t first = 0;                     // position of its first key
};

// The notes of all warps, and how many picks mine has met.
struct Notes {
  Global<int32_t> met;
  Global<uint32_t> place;
  Global<int32_t> key;
  Global<float> chance;
  int64_t capacity;
  int mine = 0;

  __device__ static int64_t warp() {
    return device::block_in_grid() * kDrawWarps + device::thread_in_block() / 32;
  }
};

// The picks of one row, eight heads from `head` on: to the lists, or to the notes.
template <bool kWrites>
__device__ void pick(const Rules& rules, const Lists& lists, Notes& notes, const Half& half, int64_t row,
                     int row_in_tile, int head, const Shared<uint16_t>& found) {
  const int lane = device::thread_in_block() % 32;
  uint32_t keys = device::ballot(half.chance[row_in_tile * kStride + lane] > half.least[lane]);
  for (; keys != 0; keys &= keys - 1) {
    const int key = device::count_bits((keys & (0 - keys)) - 1);
    const float chance = half.chance[row_in_tile * kStride + key];
    const bool picked =
        lane < kHeadsAtOnce && lane < rules.heads - head && chance > half.uniform[lane * kStride + key];
    const int64_t note = notes.mine;
    uint32_t all = 0;
    if (!kWrites) all = device::ballot(picked), notes.mine += device::count_bits(all);
    if (!picked) continue;
    const int of = row_in_tile * rules.heads + head + lane, before = found[of];
    found[of] = static_cast<uint16_t>(before + 1);
    if (kWrites) {
      const int64_t list = row * rules.heads + head + lane,
                    in_tile = (device::block_in_grid() * kTileRows + row_in_tile) * rules.heads + head + lane,
                    to = lists.start[list] + lists.in_tile[in_tile] + before;
      lists.key[to] = static_cast<int32_t>(half.first + key);
      lists.log_pi[to] = chance < 1 ? logf(chance) : 0;
    } else {
      const int64_t number = note + device::count_bits(all & ((uint32_t{1} << lane) - 1));
      if (number >= notes.capacity) continue;
      const int64_t at = Notes::warp() * notes.capacity + number;
      notes.place[at] = static_cast<uint32_t>(of) << 16 | static_cast<uint32_t>(before);
      notes.key[at] = static_cast<int32_t>(half.first + key), notes.chance[at] = chance;
    }
  }
}

}  // namespace
}  // namespace smartbird::kernels
