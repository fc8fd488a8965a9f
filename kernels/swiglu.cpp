// SwiGLU on the CPU, compiled for each instruction set; threads take runs of elements.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/swiglu.cpp"
#include "kernels/swiglu.h"

#include <algorithm>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/exp2-inl.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

// 1 / (1 + exp(-x)), from exp(-|x|) so that nothing overflows.
template <class D, class V>
HWY_INLINE V sigmoid(D d, V x) {
  using T = hn::TFromD<D>;
  const V e = exp_nonpositive(d, hn::Neg(hn::Abs(x)));
  const V one = hn::Set(d, T{1});
  return hn::Div(hn::IfThenElse(hn::Ge(x, hn::Zero(d)), one, e), hn::Add(one, e));
}

template <class T>
HWY_ATTR void forward_run(const T* gate, const T* up, int64_t count, T* act) {
  for_elements<T>(0, count, [&](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::LoadU(d, gate + i);
    hn::StoreU(hn::Mul(hn::Mul(g, sigmoid(d, g)), hn::LoadU(d, up + i)), d, act + i);
  });
}

template <class T>
HWY_ATTR void gradient_run(T* gate, T* up, T* dact, int64_t count) {
  for_elements<T>(0, count, [&](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::LoadU(d, gate + i), u = hn::LoadU(d, up + i), da = hn::LoadU(d, dact + i), s = sigmoid(d, g),
               silu = hn::Mul(g, s), one = hn::Set(d, T{1});
    hn::StoreU(hn::Mul(silu, u), d, dact + i);
    hn::StoreU(hn::Mul(da, silu), d, up + i);
    hn::StoreU(hn::Mul(hn::Mul(da, u), hn::Mul(s, hn::MulAdd(g, hn::Sub(one, s), one))), d, gate + i);
  });
}

#define SB_SWIGLU(T, suffix)                                                          \
  HWY_ATTR void forward_##suffix(const T* gate, const T* up, int64_t count, T* act) { \
    forward_run(gate, up, count, act);                                                \
  }                                                                                   \
  HWY_ATTR void gradient_##suffix(T* gate, T* up, T* dact, int64_t count) { gradient_run(gate, up, dact, count); }
SB_SWIGLU(float, f32)
SB_SWIGLU(double, f64)
#undef SB_SWIGLU

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

constexpr int64_t kRun = 1 << 12;  // elements a thread takes at once

#define SB_SWIGLU(T, suffix)                                                               \
  HWY_EXPORT(forward_##suffix);                                                            \
  HWY_EXPORT(gradient_##suffix);                                                           \
  template <>                                                                              \
  void swiglu<T>(const T* gate, const T* up, int64_t count, T* act) {                      \
    const auto run = HWY_DYNAMIC_DISPATCH(forward_##suffix);                               \
    _Pragma("omp parallel for schedule(static)") for (int64_t i = 0; i < count; i += kRun) \
        run(gate + i, up + i, std::min(kRun, count - i), act + i);                         \
  }                                                                                        \
  template <>                                                                              \
  void swiglu_gradient<T>(T * gate, T * up, T * dact, int64_t count) {                     \
    const auto run = HWY_DYNAMIC_DISPATCH(gradient_##suffix);                              \
    _Pragma("omp parallel for schedule(static)") for (int64_t i = 0; i < count; i += kRun) \
        run(gate + i, up + i, dact + i, std::min(kRun, count - i));                        \
  }
SB_SWIGLU(float, f32)
SB_SWIGLU(double, f64)
#undef SB_SWIGLU

}  // namespace smartbird::kernels
#endif
