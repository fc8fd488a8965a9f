// The gradient of keys and values on a GPU, one warp a unit: it holds its key and value and goes through the queries
// that attend it, as the other passes go through keys (gather_keys.cuh). P and dz are formed again.
//   dk = scale Σ dz q,  dv = Σ P do
// Bound by the gather of q and do. Of a unit that very many rows pick, the picks beyond the first kPicksOfWarp are
// summed by other warps before; its own adds their sums in order. A warp is a block, since units have very different
// numbers of picks. In bfloat16 the rows of the band were summed before as well, by tiles.
#include "kernels/attention_tiles.h"
#include "kernels/gather_keys.cuh"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr int kWarp = 32;
template <class Word, int kWidth>
constexpr int kUnitBlocks = std::is_same_v<Word, float> ? 8
                            : kWidth < 128              ? 16
                                                        : 8;  // on a multiprocessor

template <class Word>
struct Queries {
  Global<const Word> q, grad_o;
  Global<const float> sums;  // lse in base 2 and Δ
};

// A key, its value, and their gradients.
template <class Word, int kWidth>
struct Unit {
  Part<Word, kWidth> k, v;
  float dk[kWidth / 4] = {}, dv[kWidth / 4] = {};

  __device__ void load(Global<const Word> kv, int64_t unit) { k.load(kv, 2 * unit), v.load(kv, 2 * unit + 1); }
  // Adds the queries at[r] = row · H + head of my group, bias (base 2) -inf: none.
  __device__ void add(const Queries<Word>& from, float scale, const int64_t (&at)[Spread<Word, kWidth>::kDeep],
                      const float (&bias)[Spread<Word, kWidth>::kDeep]) {
    constexpr int kDeep = Spread<Word, kWidth>::kDeep;
    Part<Word, kWidth> q[kDeep], grad[kDeep];
    float total[kDeep] = {}, mean[kDeep] = {}, score[kDeep], dp[kDeep];
#pragma unroll
    for (int r = 0; r < kDeep; ++r) {
      const bool there = bias[r] != kNothing;
      q[r].load(from.q, at[r], there), grad[r].load(from.grad_o, at[r], there);
      if (there) total[r] = from.sums[2 * at[r]], mean[r] = from.sums[2 * at[r] + 1];
    }
    products(k, q, score);
    products(v, grad, dp);
#pragma unroll
    for (int r = 0; r < kDeep; ++r) {
      const float p = bias[r] == kNothing ? 0 : device::exp2_fast(device::fused(score[r], scale, bias[r]) - total[r]);
      add_row(p * (dp[r] - mean[r]), q[r], dk);
      add_row(p, grad[r], dv);
    }
  }
};

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

// The rows whose band holds a slot, in device memory.
struct BandBySlot {
  Global<const int64_t> begin, end;
};

// The picks from the side of the keys, in device memory.
struct PicksByKey {
  Global<const int64_t> block_begin, start;
  Global<const int32_t> list;
  Global<const float> log_pi;
  int64_t block_rows;
};

// Adds the queries of the sorted picks [first, end), each a pick head's rows of a block. The next picks are on their
// way while some are worked on.
template <class Element, int kWidth, class Word>
__device__ void add_picks(const DeviceAttentionInput<Element>& in, const PicksByKey& picks, const Queries<Word>& from,
                          int64_t first, int64_t end, Unit<Word, kWidth>& key) {
  using S = Spread<Word, kWidth>;
  const int group = device::thread_in_block() % 32 / 4;
  const uint32_t pick_heads = static_cast<uint32_t>(in.pick_heads),
                 heads = static_cast<uint32_t>(in.heads) / pick_heads;
  const bool rows_are_lists = picks.block_rows == 1 && heads == 1;
  const uint32_t each = static_cast<uint32_t>(picks.block_rows) * heads;
  struct Next {
    uint32_t list[S::kDeep];
    float bias[S::kDeep];
  };
  const auto read = [&](int64_t at) {
    Next out;
#pragma unroll
    for (int r = 0; r < S::kDeep; ++r) {
      const int64_t entry = at + r * kGroups + group;
      const bool there = entry < end;
      out.list[r] = there ? static_cast<uint32_t>(picks.list[entry]) : 0;
      out.bias[r] = there ? -picks.log_pi[entry] * kLog2OfE : kNothing;
    }
    return out;
  };
  for (Next next = read(first); first < end; first += S::kStep) {
    const Next now = next;
    next = read(first + S::kStep);
    for (uint32_t n = 0; n < each; ++n) {
      int64_t at[S::kDeep];
      float bias[S::kDeep];
#pragma unroll
      for (int r = 0; r < S::kDeep; ++r) {
        at[r] = now.list[r], bias[r] = now.bias[r];
        if (rows_are_lists || bias[r] == kNothing) continue;
        const uint32_t block = now.list[r] / pick_heads;
        const int64_t row = picks.block_begin[block] + n / heads;
        at[r] = row * in.heads + now.list[r] % pick_heads * heads + n % heads;
        if (row >= picks.block_begin[block + 1]) at[r] = 0, bias[r] = kNothing;
      }
      key.add(from, in.scale * kLog2OfE, at, bias);
    }
  }
}

// Tail t: of the unit that begins before sorted pick t · kPicksOfWarp, the next kPicksOfWarp picks from its own
// multiple on. There is one unit at most, since a later one's first cut lies beyond the tail.
template <class Element, int kWidth>
__global__ void __launch_bounds__(kWarp, kUnitBlocks<WordOf<Element>, kWidth>)
    sum_tails(DeviceAttentionInput<Element> in, PicksByKey picks, int64_t num_picks, Global<const WordOf<Element>> kv,
              Queries<WordOf<Element>> from, Global<float> tails) {
  using Word = WordOf<Element>;
  using S = Spread<Word, kWidth>;
  const int64_t tail = device::block_in_grid(), place = tail * kPicksOfWarp;
  if (place >= num_picks) return;
  const int64_t unit = first_beyond(picks.start, in.units, place) - 1, begin = picks.start[unit],
                first = begin + (place - begin + kPicksOfWarp - 1) / kPicksOfWarp * kPicksOfWarp,
                end = picks.start[unit + 1];
  if (first == begin || first >= end) return;
  Unit<Word, kWidth> key;
  key.load(kv, unit);
  add_picks<Element, kWidth>(in, picks, from, first, first + kPicksOfWarp < end ? first + kPicksOfWarp : end, key);
  add_groups(key.dk), add_groups(key.dv);
#pragma unroll
  for (int i = 0; i < S::kLeft; ++i) {
    const int at = left_place<Word, kWidth>(i);
    tails[2 * tail * kWidth + at] = key.dk[i], tails[(2 * tail + 1) * kWidth + at] = key.dv[i];
  }
}

template <class Element, int kWidth>
__global__ void __launch_bounds__(kWarp, kUnitBlocks<WordOf<Element>, kWidth>)
    backward_kv(DeviceAttentionInput<Element> in, PicksByKey picks, Global<const WordOf<Element>> kv, BandBySlot band,
                Queries<WordOf<Element>> from, Global<const float> tails, Global<const float> in_band,
                Global<Element> grad_kv) {
  using Word = WordOf<Element>;
  using S = Spread<Word, kWidth>;
  const int64_t unit = device::block_in_grid();
  const int group = device::thread_in_block() / 4;
  Unit<Word, kWidth> key;
  key.load(kv, unit);
  const bool has_band = unit < in.slots * in.kv_heads;
  constexpr bool kByTiles = std::is_same_v<Element, uint16_t>;
  if (!kByTiles && has_band) {
    const uint32_t heads = static_cast<uint32_t>(in.heads / in.kv_heads);
    const int64_t slot = unit % in.slots, first_head = unit / in.slots * heads, first = band.begin[slot],
                  count = (band.end[slot] - first) * heads;
    for (int64_t done = 0; done < count; done += S::kStep) {
      int64_t at[S::kDeep];
      float bias[S::kDeep];
#pragma unroll
      for (int r = 0; r < S::kDeep; ++r) {
        const uint32_t n = static_cast<uint32_t>(done) + static_cast<uint32_t>(r * kGroups + group);
        at[r] = (first + n / heads) * in.heads + first_head + n % heads, bias[r] = n < count ? 0 : kNothing;
      }
      key.add(from, in.scale * kLog2OfE, at, bias);
    }
  }
  int64_t next = 0, end = 0;
  if (in.pick_heads > 0) {
    const int64_t first = picks.start[unit];
    next = first + kPicksOfWarp, end = picks.start[unit + 1];
    add_picks<Element, kWidth>(in, picks, from, first, next < end ? next : end, key);
  }
  add_groups(key.dk), add_groups(key.dv);
#pragma unroll
  for (int i = 0; i < S::kLeft; ++i) {
    const int at = left_place<Word, kWidth>(i);
    for (int64_t cut = next; cut < end; cut += kPicksOfWarp) {
      const int64_t tail = cut / kPicksOfWarp;
      key.dk[i] += tails[2 * tail * kWidth + at], key.dv[i] += tails[(2 * tail + 1) * kWidth + at];
    }
    if (kByTiles && has_band)
      key.dk[i] += in_band[2 * unit * kWidth + at], key.dv[i] += in_band[(2 * unit + 1) * kWidth + at];
    put(key.dk[i] * in.scale, grad_kv[2 * unit * kWidth + at]);
    put(key.dv[i], grad_kv[(2 * unit + 1) * kWidth + at]);
  }
}

template <class Element, int kWidth>
void backward_with(Stream stream, const DeviceAttentionInput<Element>& in, const DeviceKeyLists& by_key,
                   const Element* grad_o, const float* sums, Element* grad_kv) {
  const Queries<WordOf<Element>> from{words(in.q), words(grad_o), sums};
  const PicksByKey picks{by_key.block_begin, by_key.start, by_key.list, by_key.log_pi, by_key.block_rows};
  if (in.pick_heads > 0)
    device::launch("attention_backward_kv", sum_tails<Element, kWidth>, attention_tails(by_key.picks), kWarp, stream,
                   in, picks, by_key.picks, words(in.kv), from, by_key.tails);
  device::launch("attention_backward_kv", backward_kv<Element, kWidth>, in.units, kWarp, stream, in, picks,
                 words(in.kv), BandBySlot{by_key.slot_begin, by_key.slot_end}, from, by_key.tails, by_key.band,
                 grad_kv);
}

}  // namespace

template <class Element>
void attention_backward_kv(Stream stream, const DeviceAttentionInput<Element>& input, const DeviceKeyLists& lists,
                           const Element* grad_o, const float* sums, Element* grad_kv) {
  if constexpr (std::is_same_v<Element, uint16_t>) {
    if (is_band_alone(input)) return attention_backward_band(stream, input, lists, grad_o, sums, grad_kv);
    attention_backward_band(stream, input, lists, grad_o, sums);
  }
  switch (input.width) {
    case 32: backward_with<Element, 32>(stream, input, lists, grad_o, sums, grad_kv); break;
    case 64: backward_with<Element, 64>(stream, input, lists, grad_o, sums, grad_kv); break;
    case 128: backward_with<Element, 128>(stream, input, lists, grad_o, sums, grad_kv); break;
    default: refuse_width("attention_backward_kv", input.width);
  }
}

template void attention_backward_kv(Stream, const DeviceAttentionInput<uint16_t>&, const DeviceKeyLists&,
                                    const uint16_t*, const float*, uint16_t*);
template void attention_backward_kv(Stream, const DeviceAttentionInput<float>&, const DeviceKeyLists&, const float*,
                                    const float*, float*);

}  // namespace smartbird::kernels
