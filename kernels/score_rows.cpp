// Sketch scores with registers full of sums: 12 queries by 32 keys where there are 32 registers, 6 by 16 where 16.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/score_rows.cpp"
#include "kernels/score_rows.h"

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
HWY_ATTR void score_rows_of(const T* HWY_RESTRICT queries, const T* HWY_RESTRICT panel, int64_t width, T scale,
                            T* HWY_RESTRICT out) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  constexpr int64_t kRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;  // smaller targets are newer
  static_assert(kScoreRows % kRows == 0 && kLeafKeys % (2 * kLanes) == 0);
  for (int64_t r0 = 0; r0 < kScoreRows; r0 += kRows)
    for (int64_t j = 0; j < kLeafKeys; j += 2 * kLanes) {
      hn::Vec<hn::ScalableTag<T>> low[kRows], high[kRows];
      for (int64_t r = 0; r < kRows; ++r) low[r] = high[r] = hn::Zero(d);
      const T* q = queries + r0 * width;
      for (int64_t m = 0; m < width; ++m) {
        const auto a = hn::Load(d, panel + m * kLeafKeys + j), b = hn::Load(d, panel + m * kLeafKeys + j + kLanes);
        HWY_UNROLL(12)
        for (int64_t r = 0; r < kRows; ++r) {
          const auto x = hn::Set(d, q[r * width + m]);
          low[r] = hn::MulAdd(x, a, low[r]);
          high[r] = hn::MulAdd(x, b, high[r]);
        }
      }
      const auto by = hn::Set(d, scale);
      for (int64_t r = 0; r < kRows; ++r) {
        hn::Store(hn::Mul(low[r], by), d, out + (r0 + r) * kLeafKeys + j);
        hn::Store(hn::Mul(high[r], by), d, out + (r0 + r) * kLeafKeys + j + kLanes);
      }
    }
}

HWY_ATTR void score_rows_f32(const float* q, const float* panel, int64_t width, float scale, float* out) {
  score_rows_of(q, panel, width, scale, out);
}
HWY_ATTR void score_rows_f64(const double* q, const double* panel, int64_t width, double scale, double* out) {
  score_rows_of(q, panel, width, scale, out);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(score_rows_f32);
HWY_EXPORT(score_rows_f64);

template <>
void score_rows<float>(const float* queries, const float* panel, int64_t width, float scale, float* out) {
  HWY_DYNAMIC_DISPATCH(score_rows_f32)(queries, panel, width, scale, out);
}
template <>
void score_rows<double>(const double* queries, const double* panel, int64_t width, double scale, double* out) {
  HWY_DYNAMIC_DISPATCH(score_rows_f64)(queries, panel, width, scale, out);
}

}  // namespace smartbird::kernels
#endif
