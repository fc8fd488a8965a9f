// Random numbers and candidates of a leaf, compiled for each instruction set; the loops over 128 lanes vectorise.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/thresholds.cpp"
#include "kernels/thresholds.h"

#include <algorithm>
#include <cstring>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// philox() of core/philox.h, 128 counters at a time.
HWY_ATTR void leaf_bits(const ThresholdOf& of, int head, uint32_t* HWY_RESTRICT bits) {
  PhiloxKey key = of.key;
  key.high ^= static_cast<uint32_t>(of.sample >> 32);
  alignas(64) uint32_t c0[kLeafKeys], c1[kLeafKeys], c2[kLeafKeys], c3[kLeafKeys];
  for (int64_t j = 0; j < kLeafKeys; ++j) {
    c0[j] = static_cast<uint32_t>(of.sample), c1[j] = static_cast<uint32_t>(of.group);
    c2[j] = static_cast<uint32_t>(of.layer * 65536 + head), c3[j] = static_cast<uint32_t>(of.first + j);
  }
  for (int round = 0; round < 10; ++round) {
    for (int64_t j = 0; j < kLeafKeys; ++j) {
      const uint64_t a = uint64_t{0xD2511F53u} * c0[j], b = uint64_t{0xCD9E8D57u} * c2[j];
      c0[j] = static_cast<uint32_t>(b >> 32) ^ c1[j] ^ key.low;
      c1[j] = static_cast<uint32_t>(b);
      c2[j] = static_cast<uint32_t>(a >> 32) ^ c3[j] ^ key.high;
      c3[j] = static_cast<uint32_t>(a);
    }
    key.low += 0x9E3779B9u;
    key.high += 0xBB67AE85u;
  }
  std::copy(c0, c0 + kLeafKeys, bits);
}

template <class T>
HWY_ATTR void lower_bounds(const uint32_t* HWY_RESTRICT bits, T* HWY_RESTRICT below) {
  constexpr float kBend = 0.3447f, kMargin = 0.0082f;
  for (int64_t j = 0; j < kLeafKeys; ++j) {
    const float x = static_cast<float>(bits[j]) + 0.5f;
    int32_t pattern, one;
    std::memcpy(&pattern, &x, sizeof pattern);
    one = (pattern & 0x7FFFFF) | 0x3F800000;
    float f;
    std::memcpy(&f, &one, sizeof f);
    f -= 1.0f;
    const float e = static_cast<float>((pattern >> 23) - (127 + 32));
    below[j] = static_cast<T>(e + f + kBend * f * (1.0f - f) - kMargin);
  }
}

template <class T>
HWY_ATTR void fill_of(const ThresholdOf& of, Thresholds<T>& out) {
  T* lowest = out.below.get() + out.num_heads * kLeafKeys;
  for (int head = 0; head < out.num_heads; ++head) {
    uint32_t* bits = out.bits.data() + head * kLeafKeys;
    T* below = out.below.get() + head * kLeafKeys;
    leaf_bits(of, head, bits);
    lower_bounds(bits, below);
    for (int64_t j = 0; j < kLeafKeys; ++j) lowest[j] = head == 0 ? below[j] : std::min(lowest[j], below[j]);
  }
}

template <class T>
HWY_ATTR void candidates_of(const T* HWY_RESTRICT s, T shift, T least, const T* HWY_RESTRICT lowest, uint64_t* mask) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto by = hn::Set(d, shift), at_least = hn::Set(d, least);
  mask[0] = mask[1] = 0;
  for (int64_t j = 0; j < kLeafKeys; j += lanes) {
    const auto x = hn::Max(hn::Add(hn::Load(d, s + j), by), at_least);
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(d, hn::Gt(x, hn::Load(d, lowest + j)), bytes);
    uint64_t word;
    std::memcpy(&word, bytes, sizeof word);
    mask[j / 64] |= word << (j % 64);
  }
}

HWY_ATTR void fill_f32(const ThresholdOf& of, Thresholds<float>& out) { fill_of(of, out); }
HWY_ATTR void fill_f64(const ThresholdOf& of, Thresholds<double>& out) { fill_of(of, out); }
HWY_ATTR void candidates_f32(const float* s, float shift, float least, const float* lowest, uint64_t* mask) {
  candidates_of(s, shift, least, lowest, mask);
}
HWY_ATTR void candidates_f64(const double* s, double shift, double least, const double* lowest, uint64_t* mask) {
  candidates_of(s, shift, least, lowest, mask);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(fill_f32);
HWY_EXPORT(fill_f64);
HWY_EXPORT(candidates_f32);
HWY_EXPORT(candidates_f64);

template <>
void fill_thresholds<float>(const ThresholdOf& of, Thresholds<float>& out) {
  HWY_DYNAMIC_DISPATCH(fill_f32)(of, out);
}
template <>
void fill_thresholds<double>(const ThresholdOf& of, Thresholds<double>& out) {
  HWY_DYNAMIC_DISPATCH(fill_f64)(of, out);
}
template <>
void find_candidates<float>(const float* s, float shift, float least, const float* lowest, uint64_t* mask) {
  HWY_DYNAMIC_DISPATCH(candidates_f32)(s, shift, least, lowest, mask);
}
template <>
void find_candidates<double>(const double* s, double shift, double least, const double* lowest, uint64_t* mask) {
  HWY_DYNAMIC_DISPATCH(candidates_f64)(s, shift, least, lowest, mask);
}

}  // namespace smartbird::kernels
#endif
