// 2^x for x <= 0 in vectors, for one instruction set: -inf and everything below the smallest normal number give 0.
#include <limits>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#if defined(SMARTBIRD_KERNELS_EXP2_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SMARTBIRD_KERNELS_EXP2_INL_H_
#undef SMARTBIRD_KERNELS_EXP2_INL_H_
#else
#define SMARTBIRD_KERNELS_EXP2_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 2^r for float r, |r| <= 1/2: a polynomial of degree 6 (Cephes exp2f), error 2e-7.
template <class D, class V>
HWY_INLINE V exp2_fraction(D d, V r) {
  V p = hn::Set(d, 1.535336188319500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.339887440266574e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 9.618437357674640e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.550332471162809e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 2.402264791363012e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 6.931472028550421e-1f));
  return hn::MulAdd(p, r, hn::Set(d, 1.0f));
}

// float: 2^n · 2^r, n = round(x). double: Highway's Exp.
template <class D, class V>
HWY_INLINE V exp2_nonpositive(D d, V x) {
  using T = hn::TFromD<D>;
  const V lowest = hn::Set(d, sizeof(T) == 4 ? T(-126) : T(-1020)), y = hn::Max(x, lowest);
  if constexpr (sizeof(T) == 4) {
    const hn::Repartition<int32_t, D> di;
    const V n = hn::Round(y), p = exp2_fraction(d, hn::Sub(y, n));
    const V scaled = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::ConvertTo(di, n))));
    return hn::IfThenElseZero(hn::Ge(x, lowest), scaled);
  } else {
    return hn::IfThenElseZero(hn::Ge(x, lowest), hn::Exp(d, hn::Mul(y, hn::Set(d, T(0.6931471805599453)))));
  }
}

// 2^x for x <= 0 that may be 2^-126 (double: 2^-1020) where it should be less: for sums that hold a term of at least 1/2, in
// which neither counts. float: n comes from adding 1.5 · 2^23, the bits are those of exp2_nonpositive.
template <class D, class V>
HWY_INLINE V exp2_near_zero(D d, V x) {
  using T = hn::TFromD<D>;
  if constexpr (sizeof(T) == 4) {
    const hn::Repartition<int32_t, D> di;
    const V magic = hn::Set(d, T(12582912)), y = hn::Max(x, hn::Set(d, T(-126))), t = hn::Add(y, magic);
    const V p = exp2_fraction(d, hn::Sub(y, hn::Sub(t, magic)));
    return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, t))));
  } else {
    return hn::Exp(d, hn::Mul(hn::Max(x, hn::Set(d, T(-1020))), hn::Set(d, T(0.6931471805599453))));
  }
}

// exp(x), x <= 0.
template <class D, class V>
HWY_INLINE V exp_nonpositive(D d, V x) {
  return exp2_nonpositive(d, hn::Mul(x, hn::Set(d, static_cast<hn::TFromD<D>>(1.4426950408889634))));
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
