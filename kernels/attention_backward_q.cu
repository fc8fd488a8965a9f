// The gradient of the queries on a GPU, one warp a row and query head over the same keys as the forward pass
// (gather_keys.cuh):
//   P = exp(z - lse), dz = P (do·v - Δ), Δ = do·o;  dq = scale Σ dz k
// Δ is written for the pass over keys. Bound by the gather: 2 D numbers a key.
#include "kernels/gather_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

template <class Element, int kWidth>
__global__ void __launch_bounds__(kGatherThreads, 4)
    backward_q(DeviceAttentionInput<Element> in, Global<const Element> q, Global<const Element> kv, KeyLists lists,
               Global<const Element> o, Global<const float> lse, Global<const Element> grad_o, Global<Element> grad_q,
               Global<float> delta) {
  using S = Spread<Element, kWidth>;
  const auto [row, head] = row_of_warp(in.rows);
  if (row >= in.rows) return;
  const int64_t at = row * in.heads + head;
  float query[S::kPart], grad[S::kPart], sum[S::kPart] = {};
  load_part<Element, kWidth>(q, at, query);
  load_part<Element, kWidth>(grad_o, at, grad);
  Element out[S::kPart];
  const int lane = device::thread_in_block() % 32;
  device::load16(o, at * kWidth + lane % S::kLanes * S::kPart, true, out);
  const float mine = dot<Element, kWidth>(grad, out), scale = in.scale * kLog2OfE, total = lse[at] * kLog2OfE;
  const auto add = [&](const auto& k, const auto& v, const float(&bias)[kAhead]) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const float score = device::fused(dot<Element, kWidth>(query, k[i]), scale, bias[i]),
                  dp = dot<Element, kWidth>(grad, v[i]);
      const float dz = bias[i] == kNothing ? 0 : device::exp2_fast(score - total) * (dp - mine);
#pragma unroll
      for (int n = 0; n < S::kPart; ++n) sum[n] = device::fused(dz, number(k[i][n]), sum[n]);
    }
  };
  for_row<Element, kWidth>(in, kv, lists, row, head, add);
#pragma unroll
  for (int lanes = S::kLanes; lanes < 32; lanes *= 2)
#pragma unroll
    for (int n = 0; n < S::kPart; ++n) sum[n] += device::shuffle_xor(sum[n], lanes);
  if (lane >= S::kLanes) return;
#pragma unroll
  for (int n = 0; n < S::kPart; ++n) put(sum[n] * in.scale, grad_q[at * kWidth + lane * S::kPart + n]);
  if (lane == 0) delta[at] = mine;
}

template <class Element, int kWidth>
void backward_with(Stream stream, const DeviceAttentionInput<Element>& in, const Element* o, const float* lse,
                   const Element* grad_o, Element* grad_q, float* delta) {
  device::launch("attention_backward_q", backward_q<Element, kWidth>, blocks_of_rows(in), kGatherThreads, stream, in,
                 in.q, in.kv, lists_of(in), o, lse, grad_o, grad_q, delta);
}

}  // namespace

template <class Element>
void attention_backward_q(Stream stream, const DeviceAttentionInput<Element>& input, const Element* o,
                          const float* lse, const Element* grad_o, Element* grad_q, float* delta) {
  switch (input.width) {
    case 32: backward_with<Element, 32>(stream, input, o, lse, grad_o, grad_q, delta); break;
    case 64: backward_with<Element, 64>(stream, input, o, lse, grad_o, grad_q, delta); break;
    case 128: backward_with<Element, 128>(stream, input, o, lse, grad_o, grad_q, delta); break;
    default: refuse_width("attention_backward_q", input.width);
  }
}

template void attention_backward_q(Stream, const DeviceAttentionInput<uint16_t>&, const uint16_t*, const float*,
                                   const uint16_t*, uint16_t*, float*);
template void attention_backward_q(Stream, const DeviceAttentionInput<float>&, const float*, const float*,
                                   const float*, float*, float*);

}  // namespace smartbird::kernels
