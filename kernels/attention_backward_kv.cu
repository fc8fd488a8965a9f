// The gradient of keys and values on a GPU, one warp a unit: it holds its key and value and goes through the queries that attend
// it, a query to a group of lanes, several in flight; groups are joined by shuffles at the end. P and dz are formed again.
//   dk = scale Σ dz q,  dv = Σ P do
// Bound by the gather of q and do. Of a unit that very many rows pick, the picks beyond the first kPicksOfWarp are summed by other
// warps before; its own adds their sums in order.
#include "kernels/gather_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

template <class Element>
struct Queries {
  Global<const Element> q, grad_o;
  Global<const float> lse, delta;
};

// A key, its value, and their gradients, over the lanes of every group.
template <int kPart>
struct KeySums {
  float k[kPart], v[kPart], dk[kPart] = {}, dv[kPart] = {};
};

// Adds the queries at[i] = row · H + head of every lane group, bias (base 2) -inf: none.
template <class Element, int kWidth>
__device__ void add_queries(const Queries<Element>& from, float scale, const int64_t (&at)[kAhead],
                            const float (&bias)[kAhead], KeySums<Spread<Element, kWidth>::kPart>& key) {
  using S = Spread<Element, kWidth>;
  const int part = device::thread_in_block() % S::kLanes * S::kPart;
  Element q[kAhead][S::kPart], grad[kAhead][S::kPart];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    device::load16(from.q, at[i] * kWidth + part, bias[i] != kNothing, q[i]);
    device::load16(from.grad_o, at[i] * kWidth + part, bias[i] != kNothing, grad[i]);
  }
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const bool there = bias[i] != kNothing;
    const float score = device::fused(dot<Element, kWidth>(key.k, q[i]), scale, bias[i]),
                dp = dot<Element, kWidth>(key.v, grad[i]);
    const float total = there ? from.lse[at[i]] * kLog2OfE : 0, mean = there ? from.delta[at[i]] : 0;
    const float p = there ? device::exp2_fast(score - total) : 0, dz = p * (dp - mean);
#pragma unroll
    for (int n = 0; n < S::kPart; ++n) {
      key.dk[n] = device::fused(dz, number(q[i][n]), key.dk[n]);
      key.dv[n] = device::fused(p, number(grad[i][n]), key.dv[n]);
    }
  }
}

// The first of `count` ascending numbers that lies beyond x.
__device__ inline int64_t first_beyond(Global<const int64_t> number, int64_t count, int64_t x) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (number[middle] > x)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

// The picks from the side of the keys, in device memory.
struct PicksByKey {
  Global<const int64_t> block_begin;
  Global<const int32_t> pick_list;
  Global<const int64_t> start;
  Global<const int32_t> pick;
  Global<const float> log_pi;
};

// Adds the queries of the sorted picks [first, end), each a pick head's rows of a block.
template <class Element, int kWidth>
__device__ void add_picks(const DeviceAttentionInput<Element>& in, int64_t block_rows, const PicksByKey& picks,
                          const Queries<Element>& from, int64_t first, int64_t end,
                          KeySums<Spread<Element, kWidth>::kPart>& key) {
  using S = Spread<Element, kWidth>;
  const int group = device::thread_in_block() % 32 / S::kLanes;
  const int64_t heads = in.heads / in.pick_heads, each = block_rows * heads;
  for (; first < end; first += kAhead * S::kGroups)
    for (int64_t n = 0; n < each; ++n) {
      int64_t at[kAhead];
      float bias[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int64_t entry = first + i * S::kGroups + group;
        at[i] = 0, bias[i] = kNothing;
        if (entry >= end) continue;
        const int32_t index = picks.pick[entry];
        const int64_t list = picks.pick_list[index], block = list / in.pick_heads,
                      row = picks.block_begin[block] + n / heads;
        if (row >= picks.block_begin[block + 1]) continue;
        at[i] = row * in.heads + list % in.pick_heads * heads + n % heads;
        bias[i] = -picks.log_pi[index] * kLog2OfE;
      }
      add_queries<Element, kWidth>(from, in.scale * kLog2OfE, at, bias, key);
    }
}

// Joins the lane groups, in all of them.
template <class Element, int kWidth>
__device__ void join_groups(KeySums<Spread<Element, kWidth>::kPart>& key) {
  using S = Spread<Element, kWidth>;
#pragma unroll
  for (int lanes = S::kLanes; lanes < 32; lanes *= 2)
#pragma unroll
    for (int n = 0; n < S::kPart; ++n) {
      key.dk[n] += device::shuffle_xor(key.dk[n], lanes);
      key.dv[n] += device::shuffle_xor(key.dv[n], lanes);
    }
}

// Tail t: of the unit that begins before sorted pick t · kPicksOfWarp, the next kPicksOfWarp picks from its own multiple on. There
// is one unit at most, since a later one's first cut lies beyond the tail.
template <class Element, int kWidth>
__global__ void __launch_bounds__(kGatherThreads, 3)
    sum_tails(DeviceAttentionInput<Element> in, int64_t block_rows, PicksByKey picks, int64_t num_picks,
              Global<const Element> kv, Queries<Element> from, Global<float> tails) {
  using S = Spread<Element, kWidth>;
  const int64_t tail = device::block_in_grid() * kGatherWarps + device::thread_in_block() / 32,
                place = tail * kPicksOfWarp;
  if (place >= num_picks) return;
  const int64_t unit = first_beyond(picks.start, in.units, place) - 1, begin = picks.start[unit],
                first = begin + (place - begin + kPicksOfWarp - 1) / kPicksOfWarp * kPicksOfWarp,
                end = picks.start[unit + 1];
  if (first == begin || first >= end) return;
  KeySums<S::kPart> key;
  load_part<Element, kWidth>(kv, 2 * unit, key.k);
  load_part<Element, kWidth>(kv, 2 * unit + 1, key.v);
  add_picks<Element, kWidth>(in, block_rows, picks, from, first, first + kPicksOfWarp < end ? first + kPicksOfWarp : end,
                             key);
  join_groups<Element, kWidth>(key);
  const int lane = device::thread_in_block() % 32;
  if (lane >= S::kLanes) return;
#pragma unroll
  for (int n = 0; n < S::kPart; ++n) {
    tails[2 * tail * kWidth + lane * S::kPart + n] = key.dk[n];
    tails[(2 * tail + 1) * kWidth + lane * S::kPart + n] = key.dv[n];
  }
}

template <class Element, int kWidth>
__global__ void __launch_bounds__(kGatherThreads, 3)
    backward_kv(DeviceAttentionInput<Element> in, int64_t block_rows, PicksByKey picks, Global<const Element> kv,
                KeyLists lists, Queries<Element> from, Global<const int32_t> slot_token, Global<const float> tails,
                Global<Element> grad_kv) {
  using S = Spread<Element, kWidth>;
  const int64_t unit = device::block_in_grid() * kGatherWarps + device::thread_in_block() / 32;
  if (unit >= in.units) return;
  const int lane = device::thread_in_block() % 32, group = lane / S::kLanes;
  KeySums<S::kPart> key;
  load_part<Element, kWidth>(kv, 2 * unit, key.k);
  load_part<Element, kWidth>(kv, 2 * unit + 1, key.v);
  const float scale = in.scale * kLog2OfE;
  if (unit < in.slots * in.kv_heads) {
    const int64_t token = slot_token[unit % in.slots], heads = in.heads / in.kv_heads,
                  first_head = unit / in.slots * heads, first = first_beyond(lists.band_end, in.rows, token),
                  count = (first_beyond(lists.band_begin, in.rows, token) - first) * heads;
    for (int64_t done = 0; done < count; done += kAhead * S::kGroups) {
      int64_t at[kAhead];
      float bias[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int64_t n = done + i * S::kGroups + group;
        at[i] = (first + n / heads) * in.heads + first_head + n % heads, bias[i] = n < count ? 0 : kNothing;
      }
      add_queries<Element, kWidth>(from, scale, at, bias, key);
    }
  }
  int64_t next = 0, end = 0;
  if (in.pick_heads > 0) {
    const int64_t first = picks.start[unit];
    next = first + kPicksOfWarp, end = picks.start[unit + 1];
    add_picks<Element, kWidth>(in, block_rows, picks, from, first, next < end ? next : end, key);
  }
  join_groups<Element, kWidth>(key);
  if (lane >= S::kLanes) return;
  for (; next < end; next += kPicksOfWarp) {
    const int64_t tail = next / kPicksOfWarp;
#pragma unroll
    for (int n = 0; n < S::kPart; ++n) {
      key.dk[n] += tails[2 * tail * kWidth + lane * S::kPart + n];
      key.dv[n] += tails[(2 * tail + 1) * kWidth + lane * S::kPart + n];
    }
  }
#pragma unroll
  for (int n = 0; n < S::kPart; ++n) {
    put(key.dk[n] * in.scale, grad_kv[2 * unit * kWidth + lane * S::kPart + n]);
    put(key.dv[n], grad_kv[(2 * unit + 1) * kWidth + lane * S::kPart + n]);
  }
}

template <class Element, int kWidth>
void backward_with(Stream stream, const DeviceAttentionInput<Element>& in, const DeviceKeyLists& by_key,
                   const float* lse, const Element* grad_o, const float* delta, Element* grad_kv) {
  const Queries<Element> from{in.q, grad_o, lse, delta};
  const PicksByKey picks{by_key.block_begin, by_key.pick_list, by_key.start, by_key.pick, in.pick_log_pi};
  if (in.pick_heads > 0)
    device::launch("attention_backward_kv", sum_tails<Element, kWidth>,
                   (attention_tails(by_key.picks) + kGatherWarps - 1) / kGatherWarps, kGatherThreads, stream, in,
                   by_key.block_rows, picks, by_key.picks, in.kv, from, by_key.tails);
  device::launch("attention_backward_kv", backward_kv<Element, kWidth>, (in.units + kGatherWarps - 1) / kGatherWarps,
                 kGatherThreads, stream, in, by_key.block_rows, picks, in.kv, lists_of(in), from, by_key.slot_token,
                 by_key.tails, grad_kv);
}

}  // namespace

template <class Element>
void attention_backward_kv(Stream stream, const DeviceAttentionInput<Element>& input, const DeviceKeyLists& lists,
                           const float* lse, const Element* grad_o, const float* delta, Element* grad_kv) {
  switch (input.width) {
    case 32: backward_with<Element, 32>(stream, input, lists, lse, grad_o, delta, grad_kv); break;
    case 64: backward_with<Element, 64>(stream, input, lists, lse, grad_o, delta, grad_kv); break;
    case 128: backward_with<Element, 128>(stream, input, lists, lse, grad_o, delta, grad_kv); break;
    default: refuse_width("attention_backward_kv", input.width);
  }
}

template void attention_backward_kv(Stream, const DeviceAttentionInput<uint16_t>&, const DeviceKeyLists&, const float*,
                                    const uint16_t*, const float*, uint16_t*);
template void attention_backward_kv(Stream, const DeviceAttentionInput<float>&, const DeviceKeyLists&, const float*,
                                    const float*, const float*, float*);

}  // namespace smartbird::kernels
