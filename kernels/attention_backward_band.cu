// The band's part of the gradient of keys and values on a GPU, one warp sixteen slots of a key/value head: it goes through
// the rows whose band holds one of them, sixteen at a time and a query head after the other, each read once, on the tensor
// cores (mma_tile.cuh), with the formulas of attention_backward_kv.cu. P and dz are rounded to bfloat16 as factors of sums.
// Both sums of wide heads would leave registers for few warps: there one warp sums dk, another dv.
#include "kernels/attention_tiles.h"
#include "kernels/tile_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

template <int kWidth>
constexpr int kSplit = kWidth < 64 ? 1 : 2;  // warps of a tile
template <int kWidth>
constexpr int kBandBlocks = kWidth < 128 ? 3 : 2;  // of kGatherThreads on a multiprocessor

struct BandInput {
  Global<const uint32_t> q, kv, grad_o;
  Global<const float> sums;
  Global<const int64_t> slot_begin, slot_end;
};
// Sums as they are, for the pass over picks to go on from; or scaled and rounded, where that is all.
template <int kWidth>
__device__ void store(const TileSums<kWidth>& sum, int half, float, const Global<float>& to, int64_t row) {
  sum.store(half, to, row);
}
template <int kWidth>
__device__ void store(const TileSums<kWidth>& sum, int half, float scale, const Global<uint32_t>& to, int64_t row) {
  sum.store(half, scale, to, row);
}

template <int kWidth, bool kKeys, bool kValues, class Out>
__device__ void sum_band(const DeviceAttentionInput<uint16_t>& in, const BandInput& from, int64_t first,
                         int64_t kv_head, Global<Out> to) {
  const int lane = device::thread_in_block() % kMmaRows, heads = in.heads / in.kv_heads;
  const int64_t slot_base = kv_head * in.slots;
  int64_t at[2];
  bool there[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t slot = first + lane_group() + 8 * half;
    at[half] = 2 * (slot_base + slot), there[half] = slot < in.slots;
  }
  LeftRows<kWidth> key, value;
  key.load(from.kv, at, there);
  if constexpr (kKeys) {
    const int64_t second[2] = {at[0] + 1, at[1] + 1};
    value.load(from.kv, second, there);
  }
  TileSums<kWidth> dk, dv;
  const bool mine = first + lane < in.slots;
  const auto begin = static_cast<int32_t>(mine ? from.slot_begin[first + lane] : 0),
             end = static_cast<int32_t>(mine ? from.slot_end[first + lane] : 0);
  int32_t slot_begin[2], slot_end[2];
#pragma unroll
  for (int half = 0; half < 2; ++half)
    slot_begin[half] = device::shuffle(begin, lane_group() + 8 * half),
    slot_end[half] = device::shuffle(end, lane_group() + 8 * half);
  const float scale = in.scale * kLog2OfE;
  for (int32_t done = 0;;) {
    const int32_t wanted = begin > done ? begin : done, next = device::least(wanted < end ? wanted : kNoKey);
    if (next == kNoKey) break;
    const int32_t row = next / kMmaRows * kMmaRows;
    done = row + kMmaRows;
    for (int head = 0; head < heads; ++head) {
      const int32_t base = static_cast<int32_t>(kv_head) * heads + head;
      int32_t rows[4];  // the lane's: number i of half c has row 2 c + i % 2 of them
      bool rows_there[4];
      float total[4] = {}, mean[4] = {};
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const int32_t with = row + other_of(r / 2, r);
        rows[r] = with * in.heads + base, rows_there[r] = with < in.rows;
        if (rows_there[r]) total[r] = from.sums[2 * static_cast<int64_t>(rows[r])];
        if (kKeys && rows_there[r]) mean[r] = from.sums[2 * static_cast<int64_t>(rows[r]) + 1];
      }
      float p[2][4], dz[2][4];
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int32_t other = row + 8 * c + lane_group();
        Part<uint32_t, kWidth> part;
        float score[4], dp[4];
        part.load(from.q, other * in.heads + base, other < in.rows);
        products(key, part, score);
        if constexpr (kKeys) {
          part.load(from.grad_o, other * in.heads + base, other < in.rows);
          products(value, part, dp);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int32_t with = row + other_of(c, i);
          const bool on = with >= slot_begin[i / 2] && with < slot_end[i / 2];
          const int r = 2 * c + i % 2;
          p[c][i] = on ? device::exp2_fast(device::fused(score[i], scale, -total[r])) : 0;
          if constexpr (kKeys) dz[c][i] = p[c][i] * (dp[i] - mean[r]);
        }
      }
      const auto add = [&](const float(&weight)[2][4], Global<const uint32_t> with, TileSums<kWidth>& sum) {
        uint32_t left[4];
        weights(weight, left);
#pragma unroll
        for (int part = 0; part < FourRows<kWidth>::kParts; ++part) {
          FourRows<kWidth> four;
          const int64_t place[4] = {rows[0], rows[1], rows[2], rows[3]};
          four.load(with, place, rows_there, part);
          sum.add(left, four, part);
        }
      };
      if constexpr (kValues) add(p, from.grad_o, dv);
      if constexpr (kKeys) add(dz, from.q, dk);
    }
  }
  const uint32_t again = device::opaque(static_cast<uint32_t>(first));  // in place of registers that hold `at` so long
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t slot = again + static_cast<int64_t>(lane_group() + 8 * half), place = 2 * (kv_head * in.slots + slot);
    if (slot >= in.slots) continue;
    if constexpr (kKeys) store(dk, half, in.scale, to, place);
    if constexpr (kValues) store(dv, half, 1, to, place + 1);
  }
}

template <int kWidth, class Out>
__global__ void __launch_bounds__(kGatherThreads, kBandBlocks<kWidth>)
    backward_band(DeviceAttentionInput<uint16_t> in, BandInput from, Global<Out> to) {
  const int64_t tiles = (in.slots + kMmaRows - 1) / kMmaRows * kSplit<kWidth>;
  const RowOfWarp warp = row_of_warp(tiles);
  if (warp.row >= tiles) return;
  const int64_t first = warp.row / kSplit<kWidth> * kMmaRows;
  if constexpr (kSplit<kWidth> == 1)
    sum_band<kWidth, true, true>(in, from, first, warp.head, to);
  else if (warp.row % 2 == 0)
    sum_band<kWidth, true, false>(in, from, first, warp.head, to);
  else
    sum_band<kWidth, false, true>(in, from, first, warp.head, to);
}

template <int kWidth, class Out>
void backward_with(Stream stream, const DeviceAttentionInput<uint16_t>& in, const DeviceKeyLists& lists,
                   const uint16_t* grad_o, const float* sums, Out* to) {
  const int64_t tiles = (in.slots + kMmaRows - 1) / kMmaRows * kSplit<kWidth>;
  device::launch("attention_backward_band", backward_band<kWidth, Out>,
                 (tiles + kGatherWarps - 1) / kGatherWarps * in.kv_heads, kGatherThreads, stream, in,
                 BandInput{words(in.q), words(in.kv), words(grad_o), sums, lists.slot_begin, lists.slot_end}, to);
}

template <class Out>
void backward(Stream stream, const DeviceAttentionInput<uint16_t>& in, const DeviceKeyLists& lists,
              const uint16_t* grad_o, const float* sums, Out* to) {
  switch (in.width) {
    case 32: backward_with<32>(stream, in, lists, grad_o, sums, to); break;
    case 64: backward_with<64>(stream, in, lists, grad_o, sums, to); break;
    case 128: backward_with<128>(stream, in, lists, grad_o, sums, to); break;
    default: refuse_width("attention_backward_kv", in.width);
  }
}

}  // namespace

void attention_backward_band(Stream stream, const DeviceAttentionInput<uint16_t>& input, const DeviceKeyLists& lists,
                             const uint16_t* grad_o, const float* sums, uint16_t* grad_kv) {
  backward(stream, input, lists, grad_o, sums, words(grad_kv));
}
void attention_backward_band(Stream stream, const DeviceAttentionInput<uint16_t>& input, const DeviceKeyLists& lists,
                             const uint16_t* grad_o, const float* sums) {
  backward(stream, input, lists, grad_o, sums, lists.band);
}

}  // namespace smartbird::kernels
