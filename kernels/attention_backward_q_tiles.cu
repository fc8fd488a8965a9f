// The gradient of the queries on a GPU, one warp sixteen rows of a query head over the keys of the forward pass
// (tile_keys.cuh), with the formulas of attention_backward_q.cu: dz is rounded to bfloat16 as a factor of Σ dz k.
#include "kernels/attention_tiles.h"
#include "kernels/tile_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

template <int kWidth>
constexpr int kBackwardBlocks = kWidth < 128 ? 3 : 2;  // of kGatherThreads on a multiprocessor

// Σ of the products of two numbers of a word each.
__device__ inline float dot(uint32_t a, uint32_t b, float sum) {
  sum = device::fused(device::float_of(a << 16), device::float_of(b << 16), sum);
  return device::fused(device::float_of(a & 0xffff0000U), device::float_of(b & 0xffff0000U), sum);
}

template <int kWidth>
__global__ void __launch_bounds__(kGatherThreads, kBackwardBlocks<kWidth>)
    backward_q(DeviceAttentionInput<uint16_t> in, Global<const uint32_t> q, Global<const uint32_t> kv, KeyLists lists,
               Global<const uint32_t> o, Global<const float> lse, Global<const uint32_t> grad_o,
               Global<uint32_t> grad_q, Global<float> sums) {
  const auto [first, head] = tile_of_warp(in.rows);
  if (first >= in.rows) return;
  int64_t at[2];
  bool there[2];
  float total[2] = {0, 0}, mean[2] = {0, 0};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = first + lane_group() + 8 * half;
    at[half] = row * in.heads + head, there[half] = row < in.rows;
    if (there[half]) total[half] = lse[at[half]] * kLog2OfE;
  }
  LeftRows<kWidth> query, grad;
  grad.load(grad_o, at, there);
  {
    LeftRows<kWidth> out;
    out.load(o, at, there);
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i) mean[i % 2] = dot(grad.word[k][i], out.word[k][i], mean[i % 2]);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      mean[half] += device::shuffle_xor(mean[half], 1);
      mean[half] += device::shuffle_xor(mean[half], 2);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (there[half] && lane_turn() == 0) sums[2 * at[half]] = total[half], sums[2 * at[half] + 1] = mean[half];
  query.load(q, at, there);
  TileSums<kWidth> sum;
  const float scale = in.scale * kLog2OfE;
  for_tile(in, lists, first, head, [&](const TileUnits& units, const float(&bias)[2][4]) {
    float dz[2][4];
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int32_t unit = units.column(c);
      Part<uint32_t, kWidth> part;
      float score[4], dp[4];
      part.load(kv, 2 * static_cast<int64_t>(unit), unit >= 0);
      products(query, part, score);
      part.load(kv, 2 * static_cast<int64_t>(unit) + 1, unit >= 0);
      products(grad, part, dp);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float p = device::exp2_fast(device::fused(score[i], scale, bias[c][i]) - total[i / 2]);
        dz[c][i] = bias[c][i] == kNothing ? 0 : p * (dp[i] - mean[i / 2]);
      }
    }
    FourUnits<kWidth, 0> keys(units, kv);
    uint32_t left[4];
    weights(dz, left);
    keys.add_to(sum, left, kv);
  });
  const uint32_t again = device::opaque(static_cast<uint32_t>(first));  // in place of registers that hold `at` so long
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = again + static_cast<int64_t>(lane_group() + 8 * half);
    if (row < in.rows) sum.store(half, in.scale, grad_q, row * in.heads + head);
  }
}

template <int kWidth>
void backward_with(Stream stream, const DeviceAttentionInput<uint16_t>& in, const uint16_t* o, const float* lse,
                   const uint16_t* grad_o, uint16_t* grad_q, float* sums) {
  device::launch("attention_backward_q_in_tiles", backward_q<kWidth>, blocks_of_tiles(in), kGatherThreads, stream, in,
                 words(in.q), words(in.kv), lists_of(in), words(o), lse, words(grad_o), words(grad_q), sums);
}

}  // namespace

void attention_backward_q_in_tiles(Stream stream, const DeviceAttentionInput<uint16_t>& input, const uint16_t* o,
                                   const float* lse, const uint16_t* grad_o, uint16_t* grad_q, float* sums) {
  switch (input.width) {
    case 32: backward_with<32>(stream, input, o, lse, grad_o, grad_q, sums); break;
    case 64: backward_with<64>(stream, input, o, lse, grad_o, grad_q, sums); break;
    case 128: backward_with<128>(stream, input, o, lse, grad_o, grad_q, sums); break;
    default: refuse_width("attention_backward_q", input.width);
  }
}

}  // namespace smartbird::kernels
