// Attention of band and picks on a GPU, one warp sixteen rows of a query head (tile_keys.cuh): products with sixteen keys
// and the weighted sum of their values on the tensor cores, the maximum moved only where a score leaves it far behind.
#include "kernels/attention_tiles.h"
#include "kernels/tile_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr float kFar = 8;  // as in attention_forward.cu
template <int kWidth>
constexpr int kForwardBlocks = kWidth < 128 ? 4 : 2;  // of kGatherThreads on a multiprocessor

// Softmax-weighted sums of two rows' values, in base 2. A row's four lanes agree on its maximum; each has a sum of its own.
// The maximum is an integer above the scores', so that weights are rounded alike whichever keys came before. Values are
// divided by the sum of their rounded weights: where all are equal they come out as they are.
template <int kWidth>
struct RunningTile {
  float max[2] = {kNothing, kNothing}, sum[2] = {0, 0};
  float rounded[4] = {0, 0, 0, 0};  // [2 half]: all lanes' sum; the others are not read
  TileSums<kWidth> value;

  // score[c][i] as products() leaves them -> weights, as the left factor of sums.
  __device__ void weigh(float (&score)[2][4], uint32_t (&left)[4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = kNothing;
#pragma unroll
      for (int n = 0; n < 4; ++n) most = device::larger(most, score[n / 2][2 * half + n % 2]);
      most = device::larger(most, device::shuffle_xor(most, 1));
      most = device::larger(most, device::shuffle_xor(most, 2));
      if (most > max[half] + kFar) {
        const float next = ceilf(most), by = max[half] == kNothing ? 0 : device::exp2_fast(max[half] - next);
        sum[half] *= by, rounded[2 * half] *= by, value.scale(half, by), max[half] = next;
      }
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        float& x = score[n / 2][2 * half + n % 2];
        x = x == kNothing ? 0 : device::exp2_fast(x - max[half]);
        sum[half] += x;
      }
    }
    weights(score, left);
    const uint32_t ones[2] = {device::pair_of(1, 1), device::pair_of(1, 1)};
    device::mma_16x8x16(left, ones, rounded, rounded);
  }
};

template <int kWidth>
__global__ void __launch_bounds__(kGatherThreads, kForwardBlocks<kWidth>)
    forward(DeviceAttentionInput<uint16_t> in, Global<const uint32_t> q, Global<const uint32_t> kv, KeyLists lists,
            Global<uint32_t> o, Global<float> lse) {
  const auto [first, head] = tile_of_warp(in.rows);
  if (first >= in.rows) return;
  int64_t at[2];
  bool there[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = first + lane_group() + 8 * half;
    at[half] = row * in.heads + head, there[half] = row < in.rows;
  }
  LeftRows<kWidth> query;
  query.load(q, at, there);
  RunningTile<kWidth> running;
  const float scale = in.scale * kLog2OfE;
  for_tile(in, lists, first, head, [&](const TileUnits& units, const float(&bias)[2][4]) {
    float score[2][4];
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int32_t unit = units.column(c);
      Part<uint32_t, kWidth> key;
      key.load(kv, 2 * static_cast<int64_t>(unit), unit >= 0);
      products(query, key, score[c]);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        score[c][i] = bias[c][i] == kNothing ? kNothing : device::fused(score[c][i], scale, bias[c][i]);
    }
    FourUnits<kWidth, 1> values(units, kv);
    uint32_t left[4];
    running.weigh(score, left);
    values.add_to(running.value, left, kv);
  });
  const uint32_t again = device::opaque(static_cast<uint32_t>(first));  // in place of registers that hold `at` so long
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = again + static_cast<int64_t>(lane_group() + 8 * half), place = row * in.heads + head;
    float sum = running.sum[half];
    sum += device::shuffle_xor(sum, 1);
    sum += device::shuffle_xor(sum, 2);
    if (row >= in.rows) continue;
    const float rounded = running.rounded[2 * half];
    running.value.store(half, rounded > 0 ? 1 / rounded : 0, o, place);
    if (lane_turn() == 0) lse[place] = sum > 0 ? (running.max[half] + log2f(sum)) / kLog2OfE : kNothing;
  }
}

template <int kWidth>
void forward_with(Stream stream, const DeviceAttentionInput<uint16_t>& in, uint16_t* o, float* lse) {
  device::launch("attention_forward_in_tiles", forward<kWidth>, blocks_of_tiles(in), kGatherThreads, stream, in,
                 words(in.q), words(in.kv), lists_of(in), words(o), lse);
}

}  // namespace

void attention_forward_in_tiles(Stream stream, const DeviceAttentionInput<uint16_t>& input, uint16_t* o, float* lse) {
  switch (input.width) {
    case 32: forward_with<32>(stream, input, o, lse); break;
    case 64: forward_with<64>(stream, input, o, lse); break;
    case 128: forward_with<128>(stream, input, o, lse); break;
    default: refuse_width("attention_forward", input.width);
  }
}

}  // namespace smartbird::kernels
