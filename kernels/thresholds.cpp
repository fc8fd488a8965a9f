// Random numbers and picks of a leaf for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/thresholds.cpp"
#include "kernels/thresholds.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// words [4, 128]: philox() of core/philox.h for the 128 counters of a leaf and four heads.
#if HWY_TARGET == HWY_SCALAR
HWY_ATTR void leaf_words(const ThresholdOf& of, uint32_t quad, uint32_t* HWY_RESTRICT words) {
  PhiloxKey key = of.key;
  key.high ^= static_cast<uint32_t>(of.sample >> 32);
  for (int64_t j = 0; j < kLeafKeys; ++j) {
    const PhiloxCounter x =
        philox({static_cast<uint32_t>(of.sample), static_cast<uint32_t>(of.group),
                static_cast<uint32_t>(of.layer) * 65536u + quad, static_cast<uint32_t>(of.first + j)},
               key);
    for (int64_t w = 0; w < 4; ++w) words[w * kLeafKeys + j] = x[static_cast<size_t>(w)];
  }
}
#else
// A counter lies in the lower half of a 64-bit lane; what multiplications leave in the upper half is never read.
HWY_ATTR void leaf_words(const ThresholdOf& of, uint32_t quad, uint32_t* HWY_RESTRICT words) {
  const hn::ScalableTag<uint64_t> d;
  const hn::ScalableTag<uint32_t> d32;
  using V = hn::Vec<hn::ScalableTag<uint64_t> >;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<uint64_t>())), kChains = 4;
  const auto times = [&](V a, V by) HWY_ATTR { return hn::MulEven(hn::BitCast(d32, a), hn::BitCast(d32, by)); };
  const V mul0 = hn::Set(d, 0xD2511F53u), mul1 = hn::Set(d, 0xCD9E8D57u);
  for (int64_t j = 0; j < kLeafKeys; j += kChains * kLanes) {
    V c0[kChains], c1[kChains], c2[kChains], c3[kChains];
    for (int64_t n = 0; n < kChains; ++n) {
      c0[n] = hn::Set(d, static_cast<uint32_t>(of.sample)), c1[n] = hn::Set(d, static_cast<uint32_t>(of.group));
      c2[n] = hn::Set(d, static_cast<uint32_t>(of.layer) * 65536u + quad);
      c3[n] = hn::Iota(d, static_cast<uint32_t>(of.first + j + n * kLanes));
    }
    uint32_t low = of.key.low, high = of.key.high ^ static_cast<uint32_t>(of.sample >> 32);
    for (int round = 0; round < 10; ++round, low += 0x9E3779B9u, high += 0xBB67AE85u) {
      const V k0 = hn::Set(d, low), k1 = hn::Set(d, high);
      for (int64_t n = 0; n < kChains; ++n) {
        const V a = times(c0[n], mul0), b = times(c2[n], mul1);
        c0[n] = hn::Xor3(hn::ShiftRight<32>(b), c1[n], k0), c1[n] = b;
        c2[n] = hn::Xor3(hn::ShiftRight<32>(a), c3[n], k1), c3[n] = a;
      }
    }
    for (int64_t n = 0; n < kChains; n += 2) {
      const auto store = [&](int64_t w, V first, V second) HWY_ATTR {
        hn::StoreU(hn::ConcatEven(d32, hn::BitCast(d32, second), hn::BitCast(d32, first)), d32,
                   words + w * kLeafKeys + j + n * kLanes);
      };
      store(0, c0[n], c0[n + 1]), store(1, c1[n], c1[n + 1]), store(2, c2[n], c2[n + 1]), store(3, c3[n], c3[n + 1]);
    }
  }
}
#endif

using FloatTag = hn::CappedTag<float, 16>;
using Floats = hn::Vec<FloatTag>;

// The lower bound of log2 of the uniforms of some words.
HWY_ATTR HWY_INLINE Floats lower_bound(const uint32_t* HWY_RESTRICT words) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  const auto bits = hn::LoadU(di, reinterpret_cast<const int32_t*>(words));
  const auto low = hn::ConvertTo(d, hn::And(bits, hn::Set(di, 0xFFFF)));
  const auto high = hn::ConvertTo(d, hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 0xFFFF)));
  const auto x = hn::Add(hn::MulAdd(high, hn::Set(d, 65536.0f), low), hn::Set(d, 0.5f));
  const auto pattern = hn::BitCast(di, x);
  const auto mantissa = hn::Or(hn::And(pattern, hn::Set(di, 0x7FFFFF)), hn::Set(di, 0x3F800000));
  const auto f = hn::Sub(hn::BitCast(d, mantissa), hn::Set(d, 1.0f));
  const auto e = hn::ConvertTo(d, hn::Sub(hn::ShiftRight<23>(pattern), hn::Set(di, 127 + 32)));
  const auto bend = hn::Mul(hn::Mul(hn::Set(d, 0.3447f), f), hn::Sub(hn::Set(d, 1.0f), f));
  return hn::Sub(hn::Add(hn::Add(e, f), bend), hn::Set(d, 0.0082f));
}

// Words, bounds and their minimum of four heads, of which `used` exist; bits and below [128, 4].
HWY_ATTR void fill_quad(const ThresholdOf& of, uint32_t quad, int used, uint32_t* HWY_RESTRICT bits,
                        float* HWY_RESTRICT below, float* HWY_RESTRICT lowest) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(FloatTag()));
  alignas(64) uint32_t words[4 * kLeafKeys];
  leaf_words(of, quad, words);
  for (int64_t j = 0; j < kLeafKeys; j += kLanes) {
    const auto none = hn::Set(d, std::numeric_limits<float>::infinity());
    const Floats b0 = lower_bound(words + j), b1 = used > 1 ? lower_bound(words + kLeafKeys + j) : none,
                 b2 = used > 2 ? lower_bound(words + 2 * kLeafKeys + j) : none,
                 b3 = used > 3 ? lower_bound(words + 3 * kLeafKeys + j) : none;
    hn::StoreInterleaved4(b0, b1, b2, b3, d, below + 4 * j);
    hn::StoreInterleaved4(hn::LoadU(du, words + j), hn::LoadU(du, words + kLeafKeys + j),
                          hn::LoadU(du, words + 2 * kLeafKeys + j), hn::LoadU(du, words + 3 * kLeafKeys + j), du,
                          bits + 4 * j);
    const Floats least = hn::Min(hn::Min(b0, b1), hn::Min(b2, b3));
    hn::StoreU(quad == 0 ? least : hn::Min(least, hn::LoadU(d, lowest + j)), d, lowest + j);
  }
}

HWY_ATTR void fill_f32(const ThresholdOf& of, Thresholds<float>& out) {
  for (int quad = 0; quad < out.quads; ++quad)
    fill_quad(of, static_cast<uint32_t>(quad), out.num_heads - 4 * quad, out.bits.get() + quad * 4 * kLeafKeys,
              out.below.get() + quad * 4 * kLeafKeys, out.lowest.get());
}

HWY_ATTR void fill_f64(const ThresholdOf& of, Thresholds<double>& out) {
  alignas(64) float below[4 * kLeafKeys], lowest[kLeafKeys];
  for (int quad = 0; quad < out.quads; ++quad) {
    fill_quad(of, static_cast<uint32_t>(quad), out.num_heads - 4 * quad, out.bits.get() + quad * 4 * kLeafKeys, below,
              lowest);
    for (int64_t i = 0; i < 4 * kLeafKeys; ++i)
      out.below.get()[quad * 4 * kLeafKeys + i] = static_cast<double>(below[i]);
  }
  for (int64_t j = 0; j < kLeafKeys; ++j) out.lowest.get()[j] = static_cast<double>(lowest[j]);
}

// Bits of max(s_j + shift, least) > lowest_j.
template <class T>
HWY_ATTR HWY_INLINE void candidates(const T* HWY_RESTRICT s, T shift, T least, const T* HWY_RESTRICT lowest,
                                    uint64_t* mask) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, shift), at_least = hn::Set(d, least);
  for (int64_t j = 0; j < kLeafKeys; j += lanes) {
    const auto x = hn::Max(hn::Add(hn::Load(d, s + j), by), at_least);
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(d, hn::Gt(x, hn::Load(d, lowest + j)), bytes);
    uint64_t word;
    std::memcpy(&word, bytes, sizeof word);
    mask[j / 64] |= word << (j % 64);
  }
}

template <class T>
HWY_ATTR void pick_leaf_of(const T* HWY_RESTRICT s, T shift, T least, const Thresholds<T>& thresholds,
                           const uint64_t* allowed, int64_t first, const BlockLists<T>& lists) {
  const hn::CappedTag<T, 4> four;
  const int64_t few = static_cast<int64_t>(hn::Lanes(four));
  uint64_t mask[2] = {};
  candidates(s, shift, least, thresholds.lowest.get(), mask);
  const T* below = thresholds.below.get();
  const int64_t quads = thresholds.quads, room = lists.room;
  int32_t* HWY_RESTRICT counts = lists.count;
  DrawnPick<T>* HWY_RESTRICT picks = lists.pick;
  for (int64_t word = 0; word < 2; ++word)
    for (uint64_t left = mask[word] & allowed[word]; left != 0; left &= left - 1) {
      const int64_t j = word * 64 + __builtin_ctzll(left);
      const T sum = s[j] + shift, x = sum > least ? sum : least,
              log_pi = (x < T{0} ? x : T{0}) * static_cast<T>(0.6931471805599453);
      const auto xj = hn::Set(four, x);
      for (int64_t group = 0; group < quads; group += 16) {  // 64 heads
        uint64_t hits = 0;
        for (int64_t quad = group; quad < HWY_MIN(group + 16, quads); ++quad)
          for (int64_t part = 0; part < 4; part += few) {
            uint8_t above = 0;
            hn::StoreMaskBits(four, hn::Gt(xj, hn::Load(four, below + (quad * kLeafKeys + j) * 4 + part)), &above);
            hits |= static_cast<uint64_t>(above) << ((quad - group) * 4 + part);
          }
        for (; hits != 0; hits &= hits - 1) {
          const int64_t head = group * 4 + __builtin_ctzll(hits), at = (head / 4 * kLeafKeys + j) * 4 + head % 4;
          const bool sure = x > below[at] + static_cast<T>(kThresholdGap);
          if (!sure && !exceeds_uniform(x, thresholds.bits.get()[at])) continue;
          const int64_t to = head * room + counts[head]++;
          picks[to].key = static_cast<int32_t>(first + j), picks[to].log_pi = log_pi;
        }
      }
    }
}

HWY_ATTR void pick_leaf_f32(const float* s, float shift, float least, const Thresholds<float>& t,
                            const uint64_t* allowed, int64_t first, const BlockLists<float>& lists) {
  pick_leaf_of(s, shift, least, t, allowed, first, lists);
}
HWY_ATTR void pick_leaf_f64(const double* s, double shift, double least, const Thresholds<double>& t,
                            const uint64_t* allowed, int64_t first, const BlockLists<double>& lists) {
  pick_leaf_of(s, shift, least, t, allowed, first, lists);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(fill_f32);
HWY_EXPORT(fill_f64);
HWY_EXPORT(pick_leaf_f32);
HWY_EXPORT(pick_leaf_f64);

template <>
void fill_thresholds<float>(const ThresholdOf& of, Thresholds<float>& out) {
  HWY_DYNAMIC_DISPATCH(fill_f32)(of, out);
}
template <>
void fill_thresholds<double>(const ThresholdOf& of, Thresholds<double>& out) {
  HWY_DYNAMIC_DISPATCH(fill_f64)(of, out);
}
template <>
void pick_leaf<float>(const float* s, float shift, float least, const Thresholds<float>& thresholds,
                      const uint64_t* allowed, int64_t first, const BlockLists<float>& lists) {
  HWY_DYNAMIC_DISPATCH(pick_leaf_f32)(s, shift, least, thresholds, allowed, first, lists);
}
template <>
void pick_leaf<double>(const double* s, double shift, double least, const Thresholds<double>& thresholds,
                       const uint64_t* allowed, int64_t first, const BlockLists<double>& lists) {
  HWY_DYNAMIC_DISPATCH(pick_leaf_f64)(s, shift, least, thresholds, allowed, first, lists);
}
template <class T>
bool exceeds_uniform(T x, uint32_t bits) {
  return x > static_cast<T>(std::log2(uniform(bits)));
}
template bool exceeds_uniform<float>(float, uint32_t);
template bool exceeds_uniform<double>(double, uint32_t);

}  // namespace smartbird::kernels
#endif
