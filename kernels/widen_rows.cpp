// Widening of bfloat16 for each instruction set: its 16 bits are the upper half of a float.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/widen_rows.cpp"
#include "kernels/widen_rows.h"

#include <algorithm>
#include <bit>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_ATTR void widen_row(const uint16_t* HWY_RESTRICT from, int64_t width, float* HWY_RESTRICT to) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToUnsigned<decltype(d)> d32;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t c = 0;
  for (; c + lanes <= width; c += lanes)
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, from + c)))), d, to + c);
  for (; c < width; ++c) to[c] = std::bit_cast<float>(static_cast<uint32_t>(from[c]) << 16);
}
HWY_ATTR void widen_row(const uint16_t* HWY_RESTRICT from, int64_t width, double* HWY_RESTRICT to) {
  for (int64_t c = 0; c < width; ++c)
    to[c] = static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(from[c]) << 16));
}

template <class T>
HWY_ATTR HWY_INLINE void widen_rows_of(const uint16_t* table, const int32_t* row, int64_t count, int64_t width, T* to) {
  constexpr int64_t kAhead = 8;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t* next = table + row[std::min(i + kAhead, count - 1)] * width;
    for (int64_t at = 0; at < width; at += 32) __builtin_prefetch(next + at);
    widen_row(table + row[i] * width, width, to + i * width);
  }
}

HWY_ATTR void widen_rows_f32(const uint16_t* table, const int32_t* row, int64_t count, int64_t width, float* to) {
  widen_rows_of(table, row, count, width, to);
}
HWY_ATTR void widen_rows_f64(const uint16_t* table, const int32_t* row, int64_t count, int64_t width, double* to) {
  widen_rows_of(table, row, count, width, to);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(widen_rows_f32);
HWY_EXPORT(widen_rows_f64);

template <>
void widen_rows<float>(const uint16_t* table, const int32_t* row, int64_t count, int64_t width, float* to) {
  HWY_DYNAMIC_DISPATCH(widen_rows_f32)(table, row, count, width, to);
}
template <>
void widen_rows<double>(const uint16_t* table, const int32_t* row, int64_t count, int64_t width, double* to) {
  HWY_DYNAMIC_DISPATCH(widen_rows_f64)(table, row, count, width, to);
}

}  // namespace smartbird::kernels
#endif
