// The gradient of the queries on a GPU, one warp a row and query head over the same keys as the forward pass
// (gather_keys.cuh):
//   P = exp(z - lse), dz = P (do·v - Δ), Δ = do·o;  dq = scale Σ dz k
// lse and Δ lie together for the pass over keys. Bound by the gather: 2 D numbers a key.
#include "kernels/attention_tiles.h"
#include "kernels/gather_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

template <class Element, int kWidth>
__global__ void __launch_bounds__(kGatherThreads, Spread<WordOf<Element>, kWidth>::kBlocks)
    backward_q(DeviceAttentionInput<Element> in, Global<const WordOf<Element>> q, Global<const WordOf<Element>> kv,
               KeyLists lists, Global<const WordOf<Element>> o, Global<const float> lse,
               Global<const WordOf<Element>> grad_o, Global<Element> grad_q, Global<float> sums) {
  using Word = WordOf<Element>;
  using S = Spread<Word, kWidth>;
  const auto [row, head] = row_of_warp(in.rows);
  if (row >= in.rows) return;
  const int64_t at = row * in.heads + head;
  Part<Word, kWidth> query, grad;
  query.load(q, at), grad.load(grad_o, at);
  float mine = 0, sum[S::kMine] = {};
  {
    Part<Word, kWidth> out;
    out.load(o, at);
#pragma unroll
    for (int m = 0; m < S::kMine; ++m) mine = device::fused(grad.number(m), out.number(m), mine);
    mine += device::shuffle_xor(mine, 1);
    mine += device::shuffle_xor(mine, 2);
  }
  const float scale = in.scale * kLog2OfE, total = lse[at] * kLog2OfE;
  const auto add = [&](const auto& k, const auto& v, const float(&bias)[S::kDeep]) {
    float score[S::kDeep], dp[S::kDeep];
    products(query, k, score);
    products(grad, v, dp);
#pragma unroll
    for (int r = 0; r < S::kDeep; ++r) {
      const float p = device::exp2_fast(device::fused(score[r], scale, bias[r]) - total);
      add_row(bias[r] == kNothing ? 0 : p * (dp[r] - mine), k[r], sum);
    }
  };
  for_row<Element, kWidth>(in, kv, lists, row, head, add);
  add_groups(sum);
#pragma unroll
  for (int i = 0; i < S::kLeft; ++i) put(sum[i] * in.scale, grad_q[at * kWidth + left_place<Word, kWidth>(i)]);
  if (device::thread_in_block() % 32 == 0) sums[2 * at] = total, sums[2 * at + 1] = mine;
}

template <class Element, int kWidth>
void backward_with(Stream stream, const DeviceAttentionInput<Element>& in, const Element* o, const float* lse,
                   const Element* grad_o, Element* grad_q, float* sums) {
  device::launch("attention_backward_q", backward_q<Element, kWidth>, blocks_of_rows(in), kGatherThreads, stream, in,
                 words(in.q), words(in.kv), lists_of(in), words(o), lse, words(grad_o), grad_q, sums);
}

}  // namespace

template <class Element>
void attention_backward_q(Stream stream, const DeviceAttentionInput<Element>& input, const Element* o, const float* lse,
                          const Element* grad_o, Element* grad_q, float* sums) {
  if constexpr (std::is_same_v<Element, uint16_t>)
    if (attention_in_tiles(input)) return attention_backward_q_in_tiles(stream, input, o, lse, grad_o, grad_q, sums);
  switch (input.width) {
    case 32: backward_with<Element, 32>(stream, input, o, lse, grad_o, grad_q, sums); break;
    case 64: backward_with<Element, 64>(stream, input, o, lse, grad_o, grad_q, sums); break;
    case 128: backward_with<Element, 128>(stream, input, o, lse, grad_o, grad_q, sums); break;
    default: refuse_width("attention_backward_q", input.width);
  }
}

template void attention_backward_q(Stream, const DeviceAttentionInput<uint16_t>&, const uint16_t*, const float*,
                                   const uint16_t*, uint16_t*, float*);
template void attention_backward_q(Stream, const DeviceAttentionInput<float>&, const float*, const float*, const float*,
                                   float*, float*);

}  // namespace smartbird::kernels
