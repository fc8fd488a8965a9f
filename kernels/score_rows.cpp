// Sketch scores with sums in registers: 8 queries by 32 keys where there are 32 registers, 6 by 16 where 16.
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

// R queries with all keys of the panel.
template <int64_t R, class T>
HWY_ATTR HWY_INLINE void score_block(const T* HWY_RESTRICT q, const T* HWY_RESTRICT panel, int64_t width, T scale,
                                     T* HWY_RESTRICT out) {
  const hn::ScalableTag<T> d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  static_assert(kPanelKeys % (2 * kLanes) == 0 && kLeafKeys % kPanelKeys == 0);
  for (int64_t j = 0; j < kLeafKeys; j += 2 * kLanes) {
    hn::Vec<hn::ScalableTag<T>> low[R], high[R];
    for (int64_t r = 0; r < R; ++r) low[r] = high[r] = hn::Zero(d);
    const T* HWY_RESTRICT column = panel + panel_at(j, 0, width);
    for (int64_t m = 0; m < width; ++m) {
      const auto a = hn::Load(d, column + m * kPanelKeys), b = hn::Load(d, column + m * kPanelKeys + kLanes);
      HWY_UNROLL(12)
      for (int64_t r = 0; r < R; ++r) {
        const auto x = hn::Set(d, q[r * width + m]);
        low[r] = hn::MulAdd(x, a, low[r]);
        high[r] = hn::MulAdd(x, b, high[r]);
      }
    }
    const auto by = hn::Set(d, scale);
    for (int64_t r = 0; r < R; ++r) {
      hn::Store(hn::Mul(low[r], by), d, out + r * kLeafKeys + j);
      hn::Store(hn::Mul(high[r], by), d, out + r * kLeafKeys + j + kLanes);
    }
  }
}

template <class T>
HWY_ATTR void score_rows_of(const T* queries, int64_t rows, const T* panel, int64_t width, T scale, T* out) {
  constexpr int64_t kRows = HWY_TARGET <= HWY_AVX3 ? 8 : 6;  // smaller targets are newer
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    score_block<kRows>(queries + r * width, panel, width, scale, out + r * kLeafKeys);
  for (; r + 4 <= rows; r += 4) score_block<4>(queries + r * width, panel, width, scale, out + r * kLeafKeys);
  for (; r < rows; ++r) score_block<1>(queries + r * width, panel, width, scale, out + r * kLeafKeys);
}

HWY_ATTR void score_rows_f32(const float* q, int64_t rows, const float* panel, int64_t width, float scale, float* out) {
  score_rows_of(q, rows, panel, width, scale, out);
}
HWY_ATTR void score_rows_f64(const double* q, int64_t rows, const double* panel, int64_t width, double scale,
                             double* out) {
  score_rows_of(q, rows, panel, width, scale, out);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(score_rows_f32);
HWY_EXPORT(score_rows_f64);

template <>
void score_rows<float>(const float* queries, int64_t rows, const float* panel, int64_t width, float scale, float* out) {
  HWY_DYNAMIC_DISPATCH(score_rows_f32)(queries, rows, panel, width, scale, out);
}
template <>
void score_rows<double>(const double* queries, int64_t rows, const double* panel, int64_t width, double scale,
                        double* out) {
  HWY_DYNAMIC_DISPATCH(score_rows_f64)(queries, rows, panel, width, scale, out);
}

}  // namespace smartbird::kernels
#endif
