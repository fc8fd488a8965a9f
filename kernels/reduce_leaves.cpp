// Maximum and sum of leaves' scores, in vectors.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce_leaves.cpp"
#include "kernels/reduce_leaves.h"

#include <cmath>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/exp2-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The sum of a vector's lanes, its halves added to each other down to one lane.
template <class D, class V>
HWY_ATTR HWY_INLINE hn::TFromD<D> sum_of_halves(D d, V v) {
  using T = hn::TFromD<D>;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(D()));
#if HWY_TARGET != HWY_SCALAR
  if constexpr (kLanes * sizeof(T) > 16) {
    const hn::Half<D> half;
    return sum_of_halves(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  } else
#endif
  {
    alignas(16) T lane[kLanes];
    hn::Store(v, d, lane);
    for (int64_t half = kLanes / 2; half > 0; half /= 2)
      for (int64_t l = 0; l < half; ++l) lane[l] += lane[l + half];
    return lane[0];
  }
}

// R rows at a time, so that what one waits for another uses; a row's bits do not depend on its neighbours.
template <int64_t R, class T>
HWY_ATTR HWY_INLINE void reduce_block(const T* HWY_RESTRICT s, LeafSum* HWY_RESTRICT out) {
  const hn::CappedTag<T, 16> d;
  using V = hn::Vec<hn::CappedTag<T, 16>>;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::CappedTag<T, 16>())), kSums = 16,
                    kVectors = kSums / kLanes;
  bool found[R];
  T exponent[R];
  V shift[R], total[R][kVectors];
  for (int64_t r = 0; r < R; ++r) {
    V top = hn::Load(d, s + r * kLeafKeys);
    for (int64_t j = kLanes; j < kLeafKeys; j += kLanes) top = hn::Max(top, hn::Load(d, s + r * kLeafKeys + j));
    const T max = hn::GetLane(hn::MaxOfLanes(d, top));
    found[r] = max > -std::numeric_limits<T>::infinity();
    exponent[r] = found[r] ? std::ceil(max) : T{0};
    shift[r] = hn::Set(d, exponent[r]);
    for (int64_t v = 0; v < kVectors; ++v) total[r][v] = hn::Zero(d);
  }
  for (int64_t j = 0; j < kLeafKeys; j += kSums)
    for (int64_t v = 0; v < kVectors; ++v)
      for (int64_t r = 0; r < R; ++r)
        total[r][v] =
            hn::Add(total[r][v], exp2_near_zero(d, hn::Sub(hn::Load(d, s + r * kLeafKeys + j + v * kLanes), shift[r])));
  for (int64_t r = 0; r < R; ++r) {
    for (int64_t half = kVectors / 2; half > 0; half /= 2)
      for (int64_t v = 0; v < half; ++v) total[r][v] = hn::Add(total[r][v], total[r][v + half]);
    out[r] = {static_cast<double>(exponent[r]), found[r] ? static_cast<double>(sum_of_halves(d, total[r][0])) : 0};
  }
}

template <class T>
HWY_ATTR void reduce_leaves_of(const T* HWY_RESTRICT s, int64_t rows, LeafSum* HWY_RESTRICT out) {
  constexpr int64_t kAtOnce = 4;
  int64_t row = 0;
  for (; row + kAtOnce <= rows; row += kAtOnce) reduce_block<kAtOnce>(s + row * kLeafKeys, out + row);
  for (; row < rows; ++row) reduce_block<1>(s + row * kLeafKeys, out + row);
}

HWY_ATTR void reduce_leaves_f32(const float* s, int64_t rows, LeafSum* out) { reduce_leaves_of(s, rows, out); }
HWY_ATTR void reduce_leaves_f64(const double* s, int64_t rows, LeafSum* out) { reduce_leaves_of(s, rows, out); }

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(reduce_leaves_f32);
HWY_EXPORT(reduce_leaves_f64);

template <>
void reduce_leaves<float>(const float* s, int64_t rows, LeafSum* out) {
  HWY_DYNAMIC_DISPATCH(reduce_leaves_f32)(s, rows, out);
}
template <>
void reduce_leaves<double>(const double* s, int64_t rows, LeafSum* out) {
  HWY_DYNAMIC_DISPATCH(reduce_leaves_f64)(s, rows, out);
}

}  // namespace smartbird::kernels
#endif
