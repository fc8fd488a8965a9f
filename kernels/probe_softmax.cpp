// Softmax in pieces on the CPU, compiled for each instruction set; threads take rows for the state and keys for the mass.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/probe_softmax.cpp"
#include "kernels/probe_softmax.h"

#include <algorithm>
#include <cmath>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/exp2-inl.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

template <class T, class D>
HWY_INLINE auto exp_below(D d, const T* s, T max) {
  const auto below = hn::Sub(hn::LoadU(d, s), hn::Set(d, max));
  return exp_nonpositive(d, hn::Min(below, hn::Zero(d)));
}

template <class T>
HWY_ATTR void state_row(const T* s, int64_t keys, T& max, T& sum) {
  const RowTag<T> d;
  auto most = hn::Set(d, max);
  int64_t c = 0;
  for (; c + kStep<T> <= keys; c += kStep<T>) most = hn::Max(most, hn::LoadU(d, s + c));
  T next = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; c < keys; ++c) next = std::max(next, s[c]);
  const T added = lane_sum<T>(keys, [&](auto tag, int64_t at) HWY_ATTR { return exp_below(tag, s + at, next); });
  sum = (sum > T{0} ? sum * std::exp(max - next) : T{0}) + added;
  max = next;
}

// out [count] of one run of keys.
template <class T>
HWY_ATTR void mass_run(const T* s, const int64_t* seen, int64_t rows, int64_t step, int64_t keys, int64_t first,
                       int64_t count, const T* max, const T* sum, T* out) {
  for (int64_t r = 0; r < rows * step; r += step) {
    const T inverse = T{1} / sum[r], most = max[r];
    const T* from = s + r * keys + first;
    for_elements<T>(0, std::min(seen[r] - first, count), [&](auto d, int64_t c) HWY_ATTR {
      hn::StoreU(hn::MulAdd(exp_below(d, from + c, most), hn::Set(d, inverse), hn::LoadU(d, out + c)), d, out + c);
    });
  }
}

#define SB_PROBE_SOFTMAX(T, suffix)                                                                        \
  HWY_ATTR void state_##suffix(const T* s, int64_t keys, T& max, T& sum) { state_row(s, keys, max, sum); } \
  HWY_ATTR void mass_##suffix(const T* s, const int64_t* seen, int64_t rows, int64_t step, int64_t keys,   \
                              int64_t first, int64_t count, const T* max, const T* sum, T* out) {          \
    mass_run(s, seen, rows, step, keys, first, count, max, sum, out);                                      \
  }
SB_PROBE_SOFTMAX(float, f32)
SB_PROBE_SOFTMAX(double, f64)
#undef SB_PROBE_SOFTMAX

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

constexpr int64_t kKeys = 512;  // a thread takes at once

#define SB_PROBE_SOFTMAX(T, suffix)                                                                            \
  HWY_EXPORT(state_##suffix);                                                                                  \
  HWY_EXPORT(mass_##suffix);                                                                                   \
  template <>                                                                                                  \
  void softmax_state<T>(const T* s, const int64_t* seen, int64_t rows, int64_t keys, T* max, T* sum) {         \
    const auto run = HWY_DYNAMIC_DISPATCH(state_##suffix);                                                     \
    _Pragma("omp parallel for schedule(static)") for (int64_t r = 0; r < rows; ++r) if (seen[r] > 0)           \
        run(s + r * keys, std::min(seen[r], keys), max[r], sum[r]);                                            \
  }                                                                                                            \
  template <>                                                                                                  \
  void add_softmax<T>(const T* s, const int64_t* seen, int64_t rows, int64_t step, int64_t keys, const T* max, \
                      const T* sum, T* out) {                                                                  \
    const auto run = HWY_DYNAMIC_DISPATCH(mass_##suffix);                                                      \
    _Pragma("omp parallel for schedule(static)") for (int64_t first = 0; first < keys; first += kKeys)         \
        run(s, seen, rows, step, keys, first, std::min(kKeys, keys - first), max, sum, out + first);           \
  }
SB_PROBE_SOFTMAX(float, f32)
SB_PROBE_SOFTMAX(double, f64)
#undef SB_PROBE_SOFTMAX

}  // namespace smartbird::kernels
#endif
