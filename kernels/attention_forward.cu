// Attention of band and picks on a GPU, one warp a row and query head. 16 bytes of a key go to a lane, so that a key of 64
// numbers in bfloat16 takes 8 lanes and the warp holds 4 keys side by side; several such steps are loaded before any is used.
// Every group of lanes keeps its own (max, sum, accumulator), joined by shuffles at the end. Warps of a block take neighbouring
// rows of one head, whose picks overlap and lie in L1. Bound by the gather: 2 D numbers a key.
#include <limits>

#include "core/error.h"
#include "kernels/attention_device.h"
#include "kernels/device.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr int kWarps = 4, kThreads = 32 * kWarps, kAhead = 4;  // keys of a lane group in flight
constexpr float kNothing = -std::numeric_limits<float>::infinity(), kLog2E = 1.44269504088896340736F;

// How a row of kWidth numbers lies over lanes.
template <class Element, int kWidth>
struct Spread {
  static constexpr int kPart = 16 / static_cast<int>(sizeof(Element)), kLanes = kWidth / kPart, kGroups = 32 / kLanes;
};

__device__ inline float number(float x) { return x; }
__device__ inline float number(uint16_t bits) { return device::float_of(static_cast<uint32_t>(bits) << 16); }
__device__ inline void put(float x, float& to) { to = x; }
__device__ inline void put(float x, uint16_t& to) {  // to nearest, ties to even
  const uint32_t bits = device::bits_of(x);
  to = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Softmax-weighted sum of the values a lane group has seen, in base 2.
template <int kPart>
struct Running {
  float max = kNothing, sum = 0, value[kPart] = {};

  __device__ void grow_to(float next) {  // -inf: of nothing
    const float by = max == kNothing ? 0 : device::exp2_fast(max - next);
    sum *= by;
#pragma unroll
    for (int i = 0; i < kPart; ++i) value[i] *= by;
    max = next;
  }
  __device__ void join(int lanes) {
    const float other = device::shuffle_xor(max, lanes), next = max > other ? max : other;
    grow_to(next);
    sum += device::shuffle_xor(sum, lanes);
#pragma unroll
    for (int i = 0; i < kPart; ++i) value[i] += device::shuffle_xor(value[i], lanes);
  }
};

// Adds the keys [0, count), whose unit and bias (base 2) key(i, unit, bias) gives; bias -inf: not attended.
template <class Element, int kWidth, class Key>
__device__ void add_keys(Global<const Element> kv, const float (&q)[Spread<Element, kWidth>::kPart], float scale,
                         int64_t count, Key key, Running<Spread<Element, kWidth>::kPart>& running) {
  using S = Spread<Element, kWidth>;
  const int lane = device::thread_in_block() % 32, group = lane / S::kLanes, part = lane % S::kLanes * S::kPart;
  for (int64_t first = 0; first < count; first += kAhead * S::kGroups) {
    Element k[kAhead][S::kPart], v[kAhead][S::kPart];
    float score[kAhead], bias[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int64_t at = first + i * S::kGroups + group;
      int64_t unit = 0;
      bias[i] = kNothing;
      if (at < count) key(at, unit, bias[i]);
      device::load16(kv, (unit * 2) * kWidth + part, bias[i] != kNothing, k[i]);
      device::load16(kv, (unit * 2 + 1) * kWidth + part, bias[i] != kNothing, v[i]);
    }
    float next = running.max;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      float dot = 0;
#pragma unroll
      for (int n = 0; n < S::kPart; ++n) dot = device::fused(q[n], number(k[i][n]), dot);
#pragma unroll
      for (int lanes = 1; lanes < S::kLanes; lanes *= 2) dot += device::shuffle_xor(dot, lanes);
      score[i] = bias[i] == kNothing ? kNothing : device::fused(dot, scale, bias[i]);
      next = next > score[i] ? next : score[i];
    }
    if (next == kNothing) continue;
    running.grow_to(next);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const float p = score[i] == kNothing ? 0 : device::exp2_fast(score[i] - next);
      running.sum += p;
#pragma unroll
      for (int n = 0; n < S::kPart; ++n) running.value[n] = device::fused(p, number(v[i][n]), running.value[n]);
    }
  }
}

template <class Element, int kWidth>
__global__ void __launch_bounds__(kThreads, 4)
    forward(DeviceAttentionInput<Element> in, Global<const Element> q, Global<const Element> kv,
            Global<const int64_t> band_begin, Global<const int64_t> band_end, Global<const int32_t> token_slot,
            Global<const int64_t> row_block, Global<const int64_t> pick_start, Global<const int32_t> pick_unit,
            Global<const float> pick_log_pi, Global<Element> o, Global<float> lse) {
  using S = Spread<Element, kWidth>;
  const int64_t blocks_a_head = (in.rows + kWarps - 1) / kWarps,
                row = device::block_in_grid() % blocks_a_head * kWarps + device::thread_in_block() / 32;
  const int head = static_cast<int>(device::block_in_grid() / blocks_a_head),
            part = device::thread_in_block() % 32 % S::kLanes * S::kPart;
  if (row >= in.rows) return;
  Element mine[S::kPart];
  float query[S::kPart];
  device::load16(q, (row * in.heads + head) * kWidth + part, true, mine);
#pragma unroll
  for (int i = 0; i < S::kPart; ++i) query[i] = number(mine[i]);
  Running<S::kPart> running;
  const float scale = in.scale * kLog2E;
  const int64_t first = band_begin[row], slot_base = head / (in.heads / in.kv_heads) * in.slots;
  const auto band = [&](int64_t i, int64_t& unit, float& bias) {
    const int32_t slot = token_slot[first + i];
    if (slot >= 0) unit = slot_base + slot, bias = 0;
  };
  add_keys<Element, kWidth>(kv, query, scale, band_end[row] - first, band, running);
  if (in.pick_heads > 0) {
    const int64_t list = row_block[row] * in.pick_heads + head / (in.heads / in.pick_heads), begin = pick_start[list];
    const auto pick = [&](int64_t i, int64_t& unit, float& bias) {
      unit = pick_unit[begin + i], bias = -pick_log_pi[begin + i] * kLog2E;
    };
    add_keys<Element, kWidth>(kv, query, scale, pick_start[list + 1] - begin, pick, running);
  }
#pragma unroll
  for (int lanes = S::kLanes; lanes < 32; lanes *= 2) running.join(lanes);
  if (device::thread_in_block() % 32 >= S::kLanes) return;
  const float by = running.sum > 0 ? 1 / running.sum : 0;
#pragma unroll
  for (int i = 0; i < S::kPart; ++i) put(running.value[i] * by, o[(row * in.heads + head) * kWidth + part + i]);
  if (part == 0)
    lse[row * in.heads + head] = running.sum > 0 ? (running.max + log2f(running.sum)) / kLog2E : kNothing;
}

template <class Element, int kWidth>
void forward_with(Stream stream, const DeviceAttentionInput<Element>& in, Element* o, float* lse) {
  device::launch("attention_forward", forward<Element, kWidth>, (in.rows + kWarps - 1) / kWarps * in.heads, kThreads,
                 stream, in, in.q, in.kv, in.band_begin, in.band_end, in.token_slot, in.row_block, in.pick_start,
                 in.pick_unit, in.pick_log_pi, o, lse);
}

}  // namespace

template <class Element>
void attention_forward(Stream stream, const DeviceAttentionInput<Element>& input, Element* o, float* lse) {
  switch (input.width) {
    case 32: forward_with<Element, 32>(stream, input, o, lse); break;
    case 64: forward_with<Element, 64>(stream, input, o, lse); break;
    case 128: forward_with<Element, 128>(stream, input, o, lse); break;
    default: fail(ErrorKind::Shape, "attention_forward: head width ", input.width, ", on a GPU 32, 64 or 128");
  }
}

template void attention_forward(Stream, const DeviceAttentionInput<uint16_t>&, uint16_t*, float*);
template void attention_forward(Stream, const DeviceAttentionInput<float>&, float*, float*);

}  // namespace smartbird::kernels
