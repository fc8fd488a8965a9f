// Attention of band and picks on a GPU, one warp a row and query head (gather_keys.cuh). Every group of lanes keeps its own
// (max, sum, accumulator), joined by shuffles at the end. Bound by the gather: 2 D numbers a key.
#include "kernels/gather_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

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

template <class Element, int kWidth>
__global__ void __launch_bounds__(kGatherThreads, 4)
    forward(DeviceAttentionInput<Element> in, Global<const Element> q, Global<const Element> kv, KeyLists lists,
            Global<Element> o, Global<float> lse) {
  using S = Spread<Element, kWidth>;
  const auto [row, head] = row_of_warp(in.rows);
  if (row >= in.rows) return;
  float query[S::kPart];
  load_part<Element, kWidth>(q, row * in.heads + head, query);
  Running<S::kPart> running;
  const float scale = in.scale * kLog2OfE;
  const auto add = [&](const auto& k, const auto& v, const float(&bias)[kAhead]) {
    float score[kAhead], next = running.max;
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const float product = dot<Element, kWidth>(query, k[i]);
      score[i] = bias[i] == kNothing ? kNothing : device::fused(product, scale, bias[i]);
      next = next > score[i] ? next : score[i];
    }
    if (next == kNothing) return;
    running.grow_to(next);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const float p = score[i] == kNothing ? 0 : device::exp2_fast(score[i] - next);
      running.sum += p;
#pragma unroll
      for (int n = 0; n < S::kPart; ++n) running.value[n] = device::fused(p, number(v[i][n]), running.value[n]);
    }
  };
  for_row<Element, kWidth>(in, kv, lists, row, head, add);
#pragma unroll
  for (int lanes = S::kLanes; lanes < 32; lanes *= 2) running.join(lanes);
  const int lane = device::thread_in_block() % 32;
  if (lane >= S::kLanes) return;
  const float by = running.sum > 0 ? 1 / running.sum : 0;
#pragma unroll
  for (int i = 0; i < S::kPart; ++i)
    put(running.value[i] * by, o[(row * in.heads + head) * kWidth + lane * S::kPart + i]);
  if (lane == 0)
    lse[row * in.heads + head] = running.sum > 0 ? (running.max + log2f(running.sum)) / kLog2OfE : kNothing;
}

template <class Element, int kWidth>
void forward_with(Stream stream, const DeviceAttentionInput<Element>& in, Element* o, float* lse) {
  device::launch("attention_forward", forward<Element, kWidth>, blocks_of_rows(in), kGatherThreads, stream, in, in.q,
                 in.kv, lists_of(in), o, lse);
}

}  // namespace

template <class Element>
void attention_forward(Stream stream, const DeviceAttentionInput<Element>& input, Element* o, float* lse) {
  switch (input.width) {
    case 32: forward_with<Element, 32>(stream, input, o, lse); break;
    case 64: forward_with<Element, 64>(stream, input, o, lse); break;
    case 128: forward_with<Element, 128>(stream, input, o, lse); break;
    default: refuse_width("attention_forward", input.width);
  }
}

template void attention_forward(Stream, const DeviceAttentionInput<uint16_t>&, uint16_t*, float*);
template void attention_forward(Stream, const DeviceAttentionInput<float>&, float*, float*);

}  // namespace smartbird::kernels
