// Random numbers of a leaf for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/thresholds.cpp"
#include "kernels/thresholds.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/draw.h"
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
  const V mul0 = hn::Set(d, 0xD2511F53u), mul1 = hn::Set(d, 0xCD9E8D57u), lanes = hn::Iota(d, 0u);
  for (int64_t j = 0; j < kLeafKeys; j += kChains * kLanes) {
    V c0[kChains], c1[kChains], c2[kChains], c3[kChains];
    for (int64_t n = 0; n < kChains; ++n) {
      c0[n] = hn::Set(d, static_cast<uint32_t>(of.sample)), c1[n] = hn::Set(d, static_cast<uint32_t>(of.group));
      c2[n] = hn::Set(d, static_cast<uint32_t>(of.layer) * 65536u + quad);
      c3[n] = hn::Add(lanes, hn::Set(d, static_cast<uint64_t>(of.first + j + n * kLanes)));
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

// The bounds of four heads, of which `used` exist, and the minimum over heads so far; below [128, 4].
HWY_ATTR HWY_INLINE void fill_quad(const ThresholdOf& of, int64_t quad, int64_t used, float* HWY_RESTRICT below,
                                   float* HWY_RESTRICT lowest) {
  const FloatTag d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(FloatTag()));
  alignas(64) uint32_t words[4 * kLeafKeys];
  leaf_words(of, static_cast<uint32_t>(quad), words);
  for (int64_t j = 0; j < kLeafKeys; j += kLanes) {
    const auto none = hn::Set(d, std::numeric_limits<float>::infinity());
    const Floats b0 = lower_bound(words + j), b1 = used > 1 ? lower_bound(words + kLeafKeys + j) : none,
                 b2 = used > 2 ? lower_bound(words + 2 * kLeafKeys + j) : none,
                 b3 = used > 3 ? lower_bound(words + 3 * kLeafKeys + j) : none;
    hn::StoreInterleaved4(b0, b1, b2, b3, d, below + 4 * j);
    const Floats least = hn::Min(hn::Min(b0, b1), hn::Min(b2, b3));
    hn::StoreU(quad == 0 ? least : hn::Min(least, hn::LoadU(d, lowest + j)), d, lowest + j);
  }
}

template <class T>
HWY_ATTR HWY_INLINE void fill_of(const ThresholdOf& of, Thresholds<T>& out) {
  alignas(64) float below[2][4 * kLeafKeys], lowest[kLeafKeys];
  for (int64_t head = 0; head < out.num_heads; head += kHeadsAside) {
    std::fill_n(below[1], 4 * kLeafKeys, std::numeric_limits<float>::infinity());
    for (int64_t half = 0; half < 2 && head + 4 * half < out.num_heads; ++half)
      fill_quad(of, head / 4 + half, out.num_heads - head - 4 * half, below[half], lowest);
    T* HWY_RESTRICT to = out.below.get() + Thresholds<T>::at(head, 0);
    for (int64_t j = 0; j < kLeafKeys; ++j)
      for (int64_t half = 0; half < 2; ++half)
        for (int64_t h = 0; h < 4; ++h) to[j * kHeadsAside + 4 * half + h] = static_cast<T>(below[half][4 * j + h]);
  }
  for (int64_t j = 0; j < kLeafKeys; ++j) out.lowest[static_cast<size_t>(j)] = static_cast<T>(lowest[j]);
}

HWY_ATTR void fill_f32(const ThresholdOf& of, Thresholds<float>& out) { fill_of(of, out); }
HWY_ATTR void fill_f64(const ThresholdOf& of, Thresholds<double>& out) { fill_of(of, out); }

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(fill_f32);
HWY_EXPORT(fill_f64);

template <>
void fill_thresholds<float>(const ThresholdOf& of, Thresholds<float>& out) {
  if (out.of == of) return;
  HWY_DYNAMIC_DISPATCH(fill_f32)(of, out);
  out.of = of;
}
template <>
void fill_thresholds<double>(const ThresholdOf& of, Thresholds<double>& out) {
  if (out.of == of) return;
  HWY_DYNAMIC_DISPATCH(fill_f64)(of, out);
  out.of = of;
}

template <class T>
bool exceeds_uniform(T x, const ThresholdOf& of, int64_t head, int64_t j) {
  return x > static_cast<T>(
                 std::log2(draw_uniform(of.key, of.sample, of.group, of.layer, static_cast<int>(head), of.first + j)));
}
template bool exceeds_uniform<float>(float, const ThresholdOf&, int64_t, int64_t);
template bool exceeds_uniform<double>(double, const ThresholdOf&, int64_t, int64_t);

}  // namespace smartbird::kernels
#endif
