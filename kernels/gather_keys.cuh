// How attention on a GPU goes through the keys of a row. Four lanes share a key: each loads 16 bytes of it at a time,
// and a warp holds 8 keys side by side, in bfloat16 twice. So they are operands of the tensor cores as they come: the
// products of a row with 16 keys are one or more m16n8k16 whose columns are all the same, and every lane gets those of
// its own keys without a shuffle. Which numbers of a row a lane multiplies is free as long as all agree.
#pragma once

#include <limits>
#include <type_traits>

#include "core/error.h"
#include "kernels/attention_device.h"
#include "kernels/device_numbers.cuh"

namespace smartbird::kernels {

inline constexpr int kGatherWarps = 4, kGatherThreads = 32 * kGatherWarps, kGroups = 8;  // groups of four lanes
inline constexpr float kNothing = -std::numeric_limits<float>::infinity();

// What rows are loaded as: a float, or two numbers of bfloat16.
template <class Element>
using WordOf = std::conditional_t<std::is_same_v<Element, float>, float, uint32_t>;

// How a row of kWidth numbers lies over the four lanes of a group.
template <class Word, int kWidth>
struct Spread {
  static constexpr int kNumbers = std::is_same_v<Word, float> ? 1 : 2,  // of a word
      kWords = kWidth / kNumbers, kLoads = kWords / 16, kMine = kWidth / 4,
                       kDeep = kNumbers,                                 // rows of a group at a time
      kStep = kGroups * kDeep, kLeft = kMine / kGroups;                  // numbers of a lane once the groups are added
  static constexpr int kBlocks = kNumbers == 2 && kWidth < 128 ? 4 : 2;  // of kGatherThreads on a multiprocessor
  // Place in the row of my number m.
  __device__ static int place(int m) {
    constexpr int kLoad = 4 * kNumbers;
    return (m / kLoad * 4 + device::thread_in_block() % 4) * kLoad + m % kLoad;
  }
};

// A lane's part of a row.
template <class Word, int kWidth>
struct Part {
  Word word[Spread<Word, kWidth>::kLoads][4];

  __device__ void load(device::Global<const Word> from, int64_t row, bool valid = true) {
    using S = Spread<Word, kWidth>;
#pragma unroll
    for (int n = 0; n < S::kLoads; ++n)
      device::load16(from, row * S::kWords + (4 * n + device::thread_in_block() % 4) * 4, valid, word[n]);
  }
  __device__ float number(int m) const {
    constexpr int kNumbers = Spread<Word, kWidth>::kNumbers;
    const Word w = word[m / kNumbers / 4][m / kNumbers % 4];
    if constexpr (kNumbers == 1)
      return w;
    else
      return device::float_of(m % 2 == 0 ? w << 16 : w & 0xffff0000U);
  }
};

// out[r]: the product of a row, the same in all groups, with my group's row r; in all four lanes.
template <int kWidth>
__device__ void products(const Part<float, kWidth>& row, const Part<float, kWidth> (&with)[1], float (&out)[1]) {
  float sum = 0;
#pragma unroll
  for (int m = 0; m < kWidth / 4; ++m) sum = device::fused(row.number(m), with[0].number(m), sum);
  sum += device::shuffle_xor(sum, 1);
  out[0] = sum + device::shuffle_xor(sum, 2);
}
template <int kWidth>
__device__ void products(const Part<uint32_t, kWidth>& row, const Part<uint32_t, kWidth> (&with)[2], float (&out)[2]) {
  float sum[4] = {0, 0, 0, 0};
#pragma unroll
  for (int n = 0; n < Spread<uint32_t, kWidth>::kLoads; ++n)
#pragma unroll
    for (int w = 0; w < 4; w += 2) {
      const uint32_t a[4] = {with[0].word[n][w], with[1].word[n][w], with[0].word[n][w + 1], with[1].word[n][w + 1]},
                     b[2] = {row.word[n][w], row.word[n][w + 1]};
      device::mma_16x8x16(a, b, sum, sum);
    }
  out[0] = sum[0], out[1] = sum[2];
}

// sum += weight · row, of my part.
template <class Word, int kWidth>
__device__ void add_row(float weight, const Part<Word, kWidth>& row, float (&sum)[kWidth / 4]) {
#pragma unroll
  for (int m = 0; m < kWidth / 4; ++m) sum[m] = device::fused(weight, row.number(m), sum[m]);
}

// Adds the groups' sums. A lane halves what it keeps three times; sum[i] is then number left_place(i) of the row.
template <int kMine>
__device__ void add_groups(float (&sum)[kMine]) {
  int kept = kMine;
#pragma unroll
  for (int lanes = 16; lanes >= 4; lanes /= 2) {
    kept /= 2;
    const bool upper = (device::thread_in_block() & lanes) != 0;
#pragma unroll
    for (int i = 0; i < kMine / 2; ++i) {
      if (i >= kept) continue;
      const float mine = upper ? sum[i + kept] : sum[i], theirs = upper ? sum[i] : sum[i + kept];
      sum[i] = mine + device::shuffle_xor(theirs, lanes);
    }
  }
}
template <class Word, int kWidth>
__device__ int left_place(int i) {
  const int lane = device::thread_in_block(), half = kWidth / 8;
  return Spread<Word, kWidth>::place((lane & 16 ? half : 0) + (lane & 8 ? half / 2 : 0) + (lane & 4 ? half / 4 : 0) +
                                     i);
}

// Calls body(k, v, bias) for the keys of my group, in all lanes of the warp; key(i, unit, bias) names key i of [0,
// count) and its bias in base 2; -inf: not attended.
template <class Word, int kWidth, class Key, class Body>
__device__ void for_keys(device::Global<const Word> kv, int64_t count, Key key, Body body) {
  using S = Spread<Word, kWidth>;
  const int group = device::thread_in_block() % 32 / 4;
  for (int64_t first = 0; first < count; first += S::kStep) {
    Part<Word, kWidth> k[S::kDeep], v[S::kDeep];
    float bias[S::kDeep];
#pragma unroll
    for (int r = 0; r < S::kDeep; ++r) {
      const int64_t at = first + r * kGroups + group;
      int64_t unit = 0;
      bias[r] = kNothing;
      if (at < count) key(at, unit, bias[r]);
      k[r].load(kv, 2 * unit, bias[r] != kNothing);
      v[r].load(kv, 2 * unit + 1, bias[r] != kNothing);
    }
    body(k, v, bias);
  }
}

// The lists of a plan, in device memory.
struct KeyLists {
  device::Global<const int64_t> band_begin, band_end;
  device::Global<const int32_t> token_slot;
  device::Global<const int64_t> row_block, pick_start;
  device::Global<const int32_t> pick_unit;
  device::Global<const float> pick_log_pi;
  device::Global<const int64_t> tile_start;
  device::Global<const int32_t> tile_unit;
  device::Global<const uint16_t> tile_bits;
};

template <class Element>
KeyLists lists_of(const DeviceAttentionInput<Element>& in) {
  return {in.band_begin, in.band_end,    in.token_slot, in.row_block, in.pick_start,
          in.pick_unit,  in.pick_log_pi, in.tile_start, in.tile_unit, in.tile_bits};
}
template <class Element>
int64_t blocks_of_rows(const DeviceAttentionInput<Element>& in) {
  return (in.rows + kGatherWarps - 1) / kGatherWarps * in.heads;
}
template <class Element>
const WordOf<Element>* words(const Element* numbers) {
  return reinterpret_cast<const WordOf<Element>*>(numbers);
}
template <class Element>
WordOf<Element>* words(Element* numbers) {
  return reinterpret_cast<WordOf<Element>*>(numbers);
}
[[noreturn]] inline void refuse_width(const char* what, int width) {
  fail(ErrorKind::Shape, what, ": head width ", width, ", on a GPU 32, 64 or 128");
}

// for_keys of the band, then of the picks, of a row and query head.
template <class Element, int kWidth, class Body>
__device__ void for_row(const DeviceAttentionInput<Element>& in, device::Global<const WordOf<Element>> kv,
                        const KeyLists& lists, int64_t row, int head, Body body) {
  const int64_t first = lists.band_begin[row], slot_base = head / (in.heads / in.kv_heads) * in.slots;
  const auto band = [&](int64_t i, int64_t& unit, float& bias) {
    const int32_t slot = lists.token_slot[first + i];
    if (slot >= 0) unit = slot_base + slot, bias = 0;
  };
  for_keys<WordOf<Element>, kWidth>(kv, lists.band_end[row] - first, band, body);
  if (in.pick_heads == 0) return;
  const int64_t list = lists.row_block[row] * in.pick_heads + head / (in.heads / in.pick_heads),
                begin = lists.pick_start[list];
  const auto pick = [&](int64_t i, int64_t& unit, float& bias) {
    unit = lists.pick_unit[begin + i], bias = -lists.pick_log_pi[begin + i] * kLog2OfE;
  };
  for_keys<WordOf<Element>, kWidth>(kv, lists.pick_start[list + 1] - begin, pick, body);
}

// Which row and head a warp takes: neighbouring rows of one head share a block.
struct RowOfWarp {
  int64_t row;
  int head;
};
__device__ inline RowOfWarp row_of_warp(int64_t rows) {
  const int64_t blocks = (rows + kGatherWarps - 1) / kGatherWarps, block = device::block_in_grid();
  return {block % blocks * kGatherWarps + device::thread_in_block() / 32, static_cast<int>(block / blocks)};
}

}  // namespace smartbird::kernels
