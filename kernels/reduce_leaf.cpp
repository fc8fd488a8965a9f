// Maximum and sum of a leaf's scores, in vectors.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce_leaf.cpp"
#include "kernels/reduce_leaf.h"

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

template <class T>
HWY_ATTR LeafSum reduce_leaf_of(const T* HWY_RESTRICT s) {
  const hn::CappedTag<T, 16> d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::CappedTag<T, 16>())), kSums = 16,
                    kVectors = kSums / kLanes;
  auto top = hn::Load(d, s);
  for (int64_t j = kLanes; j < kLeafKeys; j += kLanes) top = hn::Max(top, hn::Load(d, s + j));
  const T max = hn::GetLane(hn::MaxOfLanes(d, top));
  if (!(max > -std::numeric_limits<T>::infinity())) return {};
  const T exponent = std::ceil(max);
  const auto shift = hn::Set(d, exponent);
  hn::Vec<hn::CappedTag<T, 16>> total[kVectors];
  for (int64_t v = 0; v < kVectors; ++v) total[v] = hn::Zero(d);
  for (int64_t j = 0; j < kLeafKeys; j += kSums)
    for (int64_t v = 0; v < kVectors; ++v)
      total[v] = hn::Add(total[v], exp2_nonpositive(d, hn::Sub(hn::Load(d, s + j + v * kLanes), shift)));
  alignas(64) T lane[kSums];
  for (int64_t v = 0; v < kVectors; ++v) hn::Store(total[v], d, lane + v * kLanes);
  for (int64_t half = kSums / 2; half > 0; half /= 2)
    for (int64_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  return {static_cast<double>(exponent), static_cast<double>(lane[0])};
}

HWY_ATTR LeafSum reduce_leaf_f32(const float* s) { return reduce_leaf_of(s); }
HWY_ATTR LeafSum reduce_leaf_f64(const double* s) { return reduce_leaf_of(s); }

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(reduce_leaf_f32);
HWY_EXPORT(reduce_leaf_f64);

template <>
LeafSum reduce_leaf<float>(const float* s) {
  return HWY_DYNAMIC_DISPATCH(reduce_leaf_f32)(s);
}
template <>
LeafSum reduce_leaf<double>(const double* s) {
  return HWY_DYNAMIC_DISPATCH(reduce_leaf_f64)(s);
}

}  // namespace smartbird::kernels
#endif
