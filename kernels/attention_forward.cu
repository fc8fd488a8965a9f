// Attention of band and picks on a GPU, one warp a row and query head (gather_keys.cuh). Every group of lanes keeps its
// own (max, sum, accumulator), joined by shuffles at the end. Bound by the gather: 2 D numbers a key.
#include "kernels/attention_tiles.h"
#include "kernels/gather_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr float kFar = 8;  // the sum is scaled anew where a score leaves the maximum this far behind, to base 2

// Softmax-weighted sum of the values a lane group has seen, in base 2.
template <int kMine>
struct Running {
  float max = kNothing, sum = 0, value[kMine] = {};

  __device__ void scale_to(float next) {  // -inf: of nothing
    const float by = max == kNothing ? 0 : device::exp2_fast(max - next);
    sum *= by;
#pragma unroll
    for (int i = 0; i < kMine; ++i) value[i] *= by;
    max = next;
  }
  __device__ void join() {
    float most = max;
#pragma unroll
    for (int lanes = 4; lanes < 32; lanes *= 2) most = device::larger(most, device::shuffle_xor(most, lanes));
    scale_to(most);
#pragma unroll
    for (int lanes = 4; lanes < 32; lanes *= 2) sum += device::shuffle_xor(sum, lanes);
    add_groups(value);
  }
};

template <class Element, int kWidth>
__global__ void __launch_bounds__(kGatherThreads, Spread<WordOf<Element>, kWidth>::kBlocks)
    forward(DeviceAttentionInput<Element> in, Global<const WordOf<Element>> q, Global<const WordOf<Element>> kv,
            KeyLists lists, Global<Element> o, Global<float> lse) {
  using Word = WordOf<Element>;
  using S = Spread<Word, kWidth>;
  const auto [row, head] = row_of_warp(in.rows);
  if (row >= in.rows) return;
  Part<Word, kWidth> query;
  query.load(q, row * in.heads + head);
  Running<S::kMine> running;
  const float scale = in.scale * kLog2OfE;
  const auto add = [&](const auto& k, const auto& v, const float(&bias)[S::kDeep]) {
    float score[S::kDeep], most = kNothing;
    products(query, k, score);
#pragma unroll
    for (int r = 0; r < S::kDeep; ++r) {
      score[r] = bias[r] == kNothing ? kNothing : device::fused(score[r], scale, bias[r]);
      most = device::larger(most, score[r]);
    }
    if (most > running.max + kFar) running.scale_to(most);
#pragma unroll
    for (int r = 0; r < S::kDeep; ++r) {
      const float p = score[r] == kNothing ? 0 : device::exp2_fast(score[r] - running.max);
      running.sum += p;
      add_row(p, v[r], running.value);
    }
  };
  for_row<Element, kWidth>(in, kv, lists, row, head, add);
  running.join();
  const float by = running.sum > 0 ? 1 / running.sum : 0;
#pragma unroll
  for (int i = 0; i < S::kLeft; ++i)
    put(running.value[i] * by, o[(row * in.heads + head) * kWidth + left_place<Word, kWidth>(i)]);
  if (device::thread_in_block() % 32 == 0)
    lse[row * in.heads + head] = running.sum > 0 ? (running.max + log2f(running.sum)) / kLog2OfE : kNothing;
}

template <class Element, int kWidth>
void forward_with(Stream stream, const DeviceAttentionInput<Element>& in, Element* o, float* lse) {
  device::launch("attention_forward", forward<Element, kWidth>, blocks_of_rows(in), kGatherThreads, stream, in,
                 words(in.q), words(in.kv), lists_of(in), o, lse);
}

}  // namespace

template <class Element>
void attention_forward(Stream stream, const DeviceAttentionInput<Element>& input, Element* o, float* lse) {
  if constexpr (std::is_same_v<Element, uint16_t>)
    if (attention_in_tiles(input)) return attention_forward_in_tiles(stream, input, o, lse);
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
