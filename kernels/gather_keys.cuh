// How attention on a GPU goes through the keys of a row: 16 bytes of a key to a lane, so that a key of 64 numbers in bfloat16
// takes 8 lanes and a warp holds 4 keys side by side; the keys and values of several such steps are loaded before any is used.
#pragma once

#include <limits>

#include "core/error.h"
#include "kernels/attention_device.h"
#include "kernels/device_numbers.cuh"

namespace smartbird::kernels {

inline constexpr int kGatherWarps = 4, kGatherThreads = 32 * kGatherWarps, kAhead = 4;  // keys of a lane group in flight
inline constexpr float kNothing = -std::numeric_limits<float>::infinity();

// How a row of kWidth numbers lies over lanes.
template <class Element, int kWidth>
struct Spread {
  static constexpr int kPart = 16 / static_cast<int>(sizeof(Element)), kLanes = kWidth / kPart, kGroups = 32 / kLanes;
};

// Calls body(k, v, bias) for kAhead keys of each lane group at a time, in all lanes; key(i, unit, bias) names key i of [0, count)
// and its bias in base 2; -inf: not attended.
template <class Element, int kWidth, class Key, class Body>
__device__ void for_keys(device::Global<const Element> kv, int64_t count, Key key, Body body) {
  using S = Spread<Element, kWidth>;
  const int lane = device::thread_in_block() % 32, group = lane / S::kLanes, part = lane % S::kLanes * S::kPart;
  for (int64_t first = 0; first < count; first += kAhead * S::kGroups) {
    Element k[kAhead][S::kPart], v[kAhead][S::kPart];
    float bias[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int64_t at = first + i * S::kGroups + group;
      int64_t unit = 0;
      bias[i] = kNothing;
      if (at < count) key(at, unit, bias[i]);
      device::load16(kv, (unit * 2) * kWidth + part, bias[i] != kNothing, k[i]);
      device::load16(kv, (unit * 2 + 1) * kWidth + part, bias[i] != kNothing, v[i]);
    }
    body(k, v, bias);
  }
}

// The product of two rows that lie over the lanes of a group; in all of them.
template <class Element, int kWidth>
__device__ float dot(const float (&q)[Spread<Element, kWidth>::kPart],
                     const Element (&k)[Spread<Element, kWidth>::kPart]) {
  float sum = 0;
#pragma unroll
  for (int n = 0; n < Spread<Element, kWidth>::kPart; ++n) sum = device::fused(q[n], number(k[n]), sum);
#pragma unroll
  for (int lanes = 1; lanes < Spread<Element, kWidth>::kLanes; lanes *= 2) sum += device::shuffle_xor(sum, lanes);
  return sum;
}

// My part of row `row` of [rows, width].
template <class Element, int kWidth>
__device__ void load_part(device::Global<const Element> from, int64_t row, float (&to)[Spread<Element, kWidth>::kPart]) {
  using S = Spread<Element, kWidth>;
  Element part[S::kPart];
  device::load16(from, row * kWidth + device::thread_in_block() % S::kLanes * S::kPart, true, part);
#pragma unroll
  for (int i = 0; i < S::kPart; ++i) to[i] = number(part[i]);
}

// The lists of a plan, in device memory.
struct KeyLists {
  device::Global<const int64_t> band_begin, band_end;
  device::Global<const int32_t> token_slot;
  device::Global<const int64_t> row_block, pick_start;
  device::Global<const int32_t> pick_unit;
  device::Global<const float> pick_log_pi;
};

template <class Element>
KeyLists lists_of(const DeviceAttentionInput<Element>& in) {
  return {in.band_begin, in.band_end, in.token_slot, in.row_block, in.pick_start, in.pick_unit, in.pick_log_pi};
}
template <class Element>
int64_t blocks_of_rows(const DeviceAttentionInput<Element>& in) {
  return (in.rows + kGatherWarps - 1) / kGatherWarps * in.heads;
}
[[noreturn]] inline void refuse_width(const char* what, int width) {
  fail(ErrorKind::Shape, what, ": head width ", width, ", on a GPU 32, 64 or 128");
}

// for_keys of the band, then of the picks, of a row and query head.
template <class Element, int kWidth, class Body>
__device__ void for_row(const DeviceAttentionInput<Element>& in, device::Global<const Element> kv,
                        const KeyLists& lists, int64_t row, int head, Body body) {
  const int64_t first = lists.band_begin[row], slot_base = head / (in.heads / in.kv_heads) * in.slots;
  const auto band = [&](int64_t i, int64_t& unit, float& bias) {
    const int32_t slot = lists.token_slot[first + i];
    if (slot >= 0) unit = slot_base + slot, bias = 0;
  };
  for_keys<Element, kWidth>(kv, lists.band_end[row] - first, band, body);
  if (in.pick_heads == 0) return;
  const int64_t list = lists.row_block[row] * in.pick_heads + head / (in.heads / in.pick_heads),
                begin = lists.pick_start[list];
  const auto pick = [&](int64_t i, int64_t& unit, float& bias) {
    unit = lists.pick_unit[begin + i], bias = -lists.pick_log_pi[begin + i] * kLog2OfE;
  };
  for_keys<Element, kWidth>(kv, lists.pick_start[list + 1] - begin, pick, body);
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
