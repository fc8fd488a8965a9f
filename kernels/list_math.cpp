// Arithmetic of one list of keys for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/list_math.cpp"
#include "kernels/list_math.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/exp2-inl.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Tag = RowTag<T>;
template <class T>
using Vec = hn::Vec<Tag<T>>;
// Columns that are turned at a time: the elements of 128 bits.
template <class T>
constexpr int64_t kTurn = std::min<int64_t>(16 / static_cast<int64_t>(sizeof(T)), kStep<T>);

#if HWY_TARGET == HWY_SCALAR
template <class T>
HWY_INLINE void turn_columns(const T* const* rows, int64_t c, Vec<T>* column) {
  column[0] = hn::LoadU(Tag<T>(), rows[0] + c);
}
#else
// Elements [c, c + kTurn) of the rows first, first + kTurn, ... as the 128-bit blocks of a vector.
template <class T>
HWY_INLINE Vec<T> load_blocks(const T* const* rows, int64_t first, int64_t c) {
  const Tag<T> d;
  if constexpr (kStep<T> == kTurn<T>) {
    return hn::LoadU(d, rows[first] + c);
  } else {
    const hn::Half<Tag<T>> h;
    if constexpr (kStep<T> == 2 * kTurn<T>) {
      return hn::Combine(d, hn::LoadU(h, rows[first + kTurn<T>] + c), hn::LoadU(h, rows[first] + c));
    } else {
      static_assert(kStep<T> == 4 * kTurn<T>);
      const hn::Half<hn::Half<Tag<T>>> q;
      const auto at = [&](int64_t block) HWY_ATTR { return hn::LoadU(q, rows[first + block * kTurn<T>] + c); };
      return hn::Combine(d, hn::Combine(h, at(3), at(2)), hn::Combine(h, at(1), at(0)));
    }
  }
}

// column[i] = element c + i of kStep rows, a row in each lane.
template <class T>
HWY_INLINE void turn_columns(const T* const* rows, int64_t c, Vec<T>* column) {
  const Tag<T> d;
  if constexpr (kTurn<T> == 2) {
    const Vec<T> a = load_blocks(rows, 0, c), b = load_blocks(rows, 1, c);
    column[0] = hn::InterleaveLower(d, a, b), column[1] = hn::InterleaveUpper(d, a, b);
  } else {
    const hn::Repartition<double, Tag<T>> two;
    const Vec<T> v0 = load_blocks(rows, 0, c), v1 = load_blocks(rows, 1, c), v2 = load_blocks(rows, 2, c),
                 v3 = load_blocks(rows, 3, c);
    const auto low01 = hn::BitCast(two, hn::InterleaveLower(d, v0, v1)),
               low23 = hn::BitCast(two, hn::InterleaveLower(d, v2, v3)),
               up01 = hn::BitCast(two, hn::InterleaveUpper(d, v0, v1)),
               up23 = hn::BitCast(two, hn::InterleaveUpper(d, v2, v3));
    column[0] = hn::BitCast(d, hn::InterleaveLower(two, low01, low23));
    column[1] = hn::BitCast(d, hn::InterleaveUpper(two, low01, low23));
    column[2] = hn::BitCast(d, hn::InterleaveLower(two, up01, up23));
    column[3] = hn::BitCast(d, hn::InterleaveUpper(two, up01, up23));
  }
}
#endif

// The products of kStep rows with the query.
template <class T>
HWY_INLINE Vec<T> score_step(const T* const* rows, int64_t offset, int64_t width, const T* HWY_RESTRICT query) {
  const Tag<T> d;
  Vec<T> sum = hn::Zero(d), column[kTurn<T>];
  int64_t c = 0;
  for (; c + kTurn<T> <= width; c += kTurn<T>) {
    turn_columns(rows, offset + c, column);
    for (int64_t i = 0; i < kTurn<T>; ++i) sum = hn::MulAdd(hn::Set(d, query[c + i]), column[i], sum);
  }
  for (; c < width; ++c) {
    alignas(64) T lane[kStep<T>];
    for (int64_t r = 0; r < kStep<T>; ++r) lane[r] = rows[r][offset + c];
    sum = hn::MulAdd(hn::Set(d, query[c]), hn::Load(d, lane), sum);
  }
  return sum;
}

template <class T>
HWY_ATTR void score_list_of(const T* const* rows, int64_t offset, int64_t keys, int64_t width, const T* query, T* out) {
  const Tag<T> d;
  int64_t key = 0;
  for (; key + kStep<T> <= keys; key += kStep<T>) hn::Store(score_step(rows + key, offset, width, query), d, out + key);
  if (key < keys) {
    const T* last[kStep<T>];
    for (int64_t r = 0; r < kStep<T>; ++r) last[r] = rows[std::min(key + r, keys - 1)];
    hn::Store(score_step(last, offset, width, query), d, out + key);
  }
}

// -log π of the keys from `key` on; -inf behind the last.
template <class T>
HWY_INLINE Vec<T> bias_of(const T* log_pi, int64_t key, int64_t keys) {
  const Tag<T> d;
  if (key + kStep<T> <= keys) return hn::Neg(hn::LoadU(d, log_pi + key));
  alignas(64) T lane[kStep<T>];
  for (int64_t i = 0; i < kStep<T>; ++i)
    lane[i] = key + i < keys ? -log_pi[key + i] : -std::numeric_limits<T>::infinity();
  return hn::Load(d, lane);
}

template <class T>
HWY_ATTR T softmax_list_of(int64_t keys, T scale, const T* log_pi, T* HWY_RESTRICT z, T& max, T& sum) {
  const Tag<T> d;
  const Vec<T> by = hn::Set(d, scale);
  Vec<T> top = hn::Set(d, max);
  for (int64_t key = 0; key < keys; key += kStep<T>) {
    const Vec<T> x = hn::MulAdd(by, hn::Load(d, z + key), bias_of(log_pi, key, keys));
    hn::Store(x, d, z + key);
    top = hn::Max(top, x);
  }
  top = hn::MaxOfLanes(d, top);
  const Vec<T> base = hn::IfThenZeroElse(hn::Eq(top, hn::Set(d, -std::numeric_limits<T>::infinity())), top);
  const T kept = hn::GetLane(exp_nonpositive(d, hn::Sub(hn::Set(d, max), base)));
  for (int64_t key = 0; key < keys; key += kStep<T>)
    hn::Store(exp_nonpositive(d, hn::Sub(hn::Load(d, z + key), base)), d, z + key);
  sum *= kept;
  for (int64_t key = 0; key < keys; ++key) sum += z[key];
  max = hn::GetLane(top);
  return kept;
}

template <class T>
HWY_ATTR void softmax_list_gradient_of(int64_t keys, T scale, const T* log_pi, T lse, T delta, T* HWY_RESTRICT z,
                                       T* HWY_RESTRICT dp) {
  const Tag<T> d;
  const Vec<T> by = hn::Set(d, scale), less = hn::Set(d, lse), mean = hn::Set(d, delta);
  for (int64_t key = 0; key < keys; key += kStep<T>) {
    const Vec<T> x = hn::MulAdd(by, hn::Load(d, z + key), bias_of(log_pi, key, keys));
    const Vec<T> p = exp_nonpositive(d, hn::Sub(x, less));
    hn::Store(p, d, z + key);
    hn::Store(hn::Mul(hn::Mul(p, hn::Sub(hn::Load(d, dp + key), mean)), by), d, dp + key);
  }
}

// V vectors of columns.
template <int64_t V, class D, class T>
HWY_INLINE void mix_columns(D d, const T* HWY_RESTRICT weight, const T* const* rows, int64_t from, int64_t keys,
                            T* HWY_RESTRICT out) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<D> sum[V];
  for (int64_t v = 0; v < V; ++v) sum[v] = hn::LoadU(d, out + v * lanes);
  for (int64_t key = 0; key < keys; ++key) {
    const auto w = hn::Set(d, weight[key]);
    for (int64_t v = 0; v < V; ++v) sum[v] = hn::MulAdd(w, hn::LoadU(d, rows[key] + from + v * lanes), sum[v]);
  }
  for (int64_t v = 0; v < V; ++v) hn::StoreU(sum[v], d, out + v * lanes);
}

template <class T>
HWY_ATTR void mix_list_of(const T* weight, const T* const* rows, int64_t offset, int64_t keys, int64_t width, T* out) {
  constexpr int64_t kAside = 4;
  int64_t c = 0;
  for (; c + kAside * kStep<T> <= width; c += kAside * kStep<T>)
    mix_columns<kAside>(Tag<T>(), weight, rows, offset + c, keys, out + c);
  for_elements<T>(c, width,
                  [&](auto d, int64_t at) HWY_ATTR { mix_columns<1>(d, weight, rows, offset + at, keys, out + at); });
}

template <class T>
HWY_ATTR void spread_list_of(const T* weight, const T* HWY_RESTRICT row, int64_t offset, int64_t keys, int64_t width,
                             T* const* out) {
  for (int64_t key = 0; key < keys; ++key) {
    T* to = out[key] + offset;
    for_elements<T>(0, width, [&](auto d, int64_t c) HWY_ATTR {
      hn::StoreU(hn::MulAdd(hn::Set(d, weight[key]), hn::LoadU(d, row + c), hn::LoadU(d, to + c)), d, to + c);
    });
  }
}

#define SB_LIST_MATH(T, suffix)                                                                                        \
  HWY_ATTR void score_list_##suffix(const T* const* rows, int64_t offset, int64_t keys, int64_t width, const T* query, \
                                    T* out) {                                                                          \
    score_list_of<T>(rows, offset, keys, width, query, out);                                                           \
  }                                                                                                                    \
  HWY_ATTR T softmax_list_##suffix(int64_t keys, T scale, const T* log_pi, T* z, T& max, T& sum) {                     \
    return softmax_list_of<T>(keys, scale, log_pi, z, max, sum);                                                       \
  }                                                                                                                    \
  HWY_ATTR void softmax_list_gradient_##suffix(int64_t keys, T scale, const T* log_pi, T lse, T delta, T* z, T* dp) {  \
    softmax_list_gradient_of<T>(keys, scale, log_pi, lse, delta, z, dp);                                               \
  }                                                                                                                    \
  HWY_ATTR void mix_list_##suffix(const T* weight, const T* const* rows, int64_t offset, int64_t keys, int64_t width,  \
                                  T* out) {                                                                            \
    mix_list_of<T>(weight, rows, offset, keys, width, out);                                                            \
  }                                                                                                                    \
  HWY_ATTR void spread_list_##suffix(const T* weight, const T* row, int64_t offset, int64_t keys, int64_t width,       \
                                     T* const* out) {                                                                  \
    spread_list_of<T>(weight, row, offset, keys, width, out);                                                          \
  }
SB_LIST_MATH(float, f32)
SB_LIST_MATH(double, f64)
#undef SB_LIST_MATH

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

#define SB_LIST_EXPORT(T, suffix)                                                                                  \
  HWY_EXPORT(score_list_##suffix);                                                                                 \
  HWY_EXPORT(softmax_list_##suffix);                                                                               \
  HWY_EXPORT(softmax_list_gradient_##suffix);                                                                      \
  HWY_EXPORT(mix_list_##suffix);                                                                                   \
  HWY_EXPORT(spread_list_##suffix);                                                                                \
  template <>                                                                                                      \
  void score_list<T>(const T* const* rows, int64_t offset, int64_t keys, int64_t width, const T* query, T* out) {  \
    HWY_DYNAMIC_DISPATCH(score_list_##suffix)(rows, offset, keys, width, query, out);                              \
  }                                                                                                                \
  template <>                                                                                                      \
  T softmax_list<T>(int64_t keys, T scale, const T* log_pi, T* z, T& max, T& sum) {                                \
    return HWY_DYNAMIC_DISPATCH(softmax_list_##suffix)(keys, scale, log_pi, z, max, sum);                          \
  }                                                                                                                \
  template <>                                                                                                      \
  void softmax_list_gradient<T>(int64_t keys, T scale, const T* log_pi, T lse, T delta, T* z, T* dp) {             \
    HWY_DYNAMIC_DISPATCH(softmax_list_gradient_##suffix)(keys, scale, log_pi, lse, delta, z, dp);                  \
  }                                                                                                                \
  template <>                                                                                                      \
  void mix_list<T>(const T* weight, const T* const* rows, int64_t offset, int64_t keys, int64_t width, T* out) {   \
    HWY_DYNAMIC_DISPATCH(mix_list_##suffix)(weight, rows, offset, keys, width, out);                               \
  }                                                                                                                \
  template <>                                                                                                      \
  void spread_list<T>(const T* weight, const T* row, int64_t offset, int64_t keys, int64_t width, T* const* out) { \
    HWY_DYNAMIC_DISPATCH(spread_list_##suffix)(weight, row, offset, keys, width, out);                             \
  }
SB_LIST_EXPORT(float, f32)
SB_LIST_EXPORT(double, f64)
#undef SB_LIST_EXPORT

}  // namespace smartbird::kernels
#endif
