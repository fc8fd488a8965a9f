// Rows in 16 lanes for one instruction set: element c of a row belongs to lane c % 16 on every set, so that sums have the
// same bits whether a vector holds 4, 8 or 16 elements.
#include <cstdint>

#include "hwy/highway.h"

#if defined(SMARTBIRD_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SMARTBIRD_KERNELS_LANES_INL_H_
#undef SMARTBIRD_KERNELS_LANES_INL_H_
#else
#define SMARTBIRD_KERNELS_LANES_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kLanes = 16;
template <class T>
using RowTag = hn::CappedTag<T, kLanes>;
template <class T>
using OneTag = hn::CappedTag<T, 1>;
template <class T>
constexpr int64_t kStep = static_cast<int64_t>(hn::MaxLanes(RowTag<T>()));  // elements of a vector
template <class T>
constexpr int64_t kSteps = kLanes / kStep<T>;  // vectors of 16 lanes

// body(tag, first element) over [begin, end): whole vectors, then single elements.
template <class T, class Body>
HWY_INLINE void for_elements(int64_t begin, int64_t end, Body body) {
  int64_t c = begin;
  for (; c + kStep<T> <= end; c += kStep<T>) body(RowTag<T>(), c);
  for (; c < end; ++c) body(OneTag<T>(), c);
}

// Σ over [0, width) of term(tag, first element), a vector each: 16 chains, then a tree.
template <class T, class Term>
HWY_INLINE T lane_sum(int64_t width, Term term) {
  const RowTag<T> d;
  hn::Vec<RowTag<T>> sum[kSteps<T>];
  for (int64_t v = 0; v < kSteps<T>; ++v) sum[v] = hn::Zero(d);
  int64_t c = 0;
  for (; c + kLanes <= width; c += kLanes)
    for (int64_t v = 0; v < kSteps<T>; ++v) sum[v] = hn::Add(sum[v], term(d, c + v * kStep<T>));
  alignas(64) T lanes[kLanes];
  for (int64_t v = 0; v < kSteps<T>; ++v) hn::Store(sum[v], d, lanes + v * kStep<T>);
  for (; c < width; ++c) lanes[c % kLanes] += hn::GetLane(term(OneTag<T>(), c));
  for (int64_t half = kLanes / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
