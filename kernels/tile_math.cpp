// Arithmetic of one attention tile for each instruction set. Register blocks: 12 keys x 16 lanes where 16 floats are one
// vector, 6 keys x 2 vectors where they are two, and so on.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tile_math.cpp"
#include "kernels/tile_math.h"

#include <algorithm>
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
using Tag = hn::CappedTag<T, 16>;
template <class T>
using Vec = hn::Vec<Tag<T>>;
template <class T>
constexpr int64_t kWidth = static_cast<int64_t>(hn::MaxLanes(Tag<T>()));  // elements of a vector
template <class T>
constexpr int64_t kVectors = kTileLanes / kWidth<T>;  // vectors of 16 lanes
template <class T>
constexpr int64_t kBlock = std::max<int64_t>(1, 12 / kVectors<T>);  // keys whose 16 sums stay in registers

// out [R, 16] of R keys.
template <int64_t R, class T>
HWY_ATTR HWY_INLINE void score_block(const T* const* HWY_RESTRICT rows, int64_t offset, int64_t width,
                                     const T* HWY_RESTRICT lanes, T* HWY_RESTRICT out) {
  const Tag<T> d;
  Vec<T> sum[R][kVectors<T>];
  for (int64_t r = 0; r < R; ++r)
    for (int64_t v = 0; v < kVectors<T>; ++v) sum[r][v] = hn::Zero(d);
  for (int64_t c = 0; c < width; ++c) {
    Vec<T> lane[kVectors<T>];
    for (int64_t v = 0; v < kVectors<T>; ++v) lane[v] = hn::Load(d, lanes + c * kTileLanes + v * kWidth<T>);
    for (int64_t r = 0; r < R; ++r) {
      const Vec<T> x = hn::Set(d, rows[r][offset + c]);
      for (int64_t v = 0; v < kVectors<T>; ++v) sum[r][v] = hn::MulAdd(x, lane[v], sum[r][v]);
    }
  }
  for (int64_t r = 0; r < R; ++r)
    for (int64_t v = 0; v < kVectors<T>; ++v) hn::Store(sum[r][v], d, out + r * kTileLanes + v * kWidth<T>);
}

template <class T>
HWY_ATTR void dot_lanes_of(const T* a, const T* b, int64_t width, T* out) {
  const Tag<T> d;
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    Vec<T> sum = hn::Zero(d);
    for (int64_t c = 0; c < width; ++c)
      sum = hn::MulAdd(hn::Load(d, a + c * kTileLanes + v * kWidth<T>), hn::Load(d, b + c * kTileLanes + v * kWidth<T>),
                       sum);
    hn::Store(sum, d, out + v * kWidth<T>);
  }
}

template <class T>
HWY_ATTR void score_keys_of(const T* const* rows, int64_t offset, int64_t keys, int64_t width, const T* lanes, T* out) {
  int64_t key = 0;
  for (; key + kBlock<T> <= keys; key += kBlock<T>) {
    for (int64_t next = key + kBlock<T>; next < std::min(key + 2 * kBlock<T>, keys); ++next)
      for (int64_t line = 0; line < width; line += 64 / static_cast<int64_t>(sizeof(T)))
        __builtin_prefetch(rows[next] + offset + line);
    score_block<kBlock<T>>(rows + key, offset, width, lanes, out + key * kTileLanes);
  }
  for (; key < keys; ++key) score_block<1>(rows + key, offset, width, lanes, out + key * kTileLanes);
}

template <class T>
HWY_ATTR void softmax_keys_of(int64_t keys, T scale, const T* HWY_RESTRICT bias, T* HWY_RESTRICT z, LaneState<T>& state,
                              T* HWY_RESTRICT keep) {
  const Tag<T> d;
  const Vec<T> by = hn::Set(d, scale), none = hn::Set(d, -std::numeric_limits<T>::infinity());
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    const int64_t at = v * kWidth<T>;
    const Vec<T> old = hn::Load(d, state.max + at);
    Vec<T> max = old;
    for (int64_t key = 0; key < keys; ++key) {
      const Vec<T> x =
          hn::MulAdd(by, hn::Load(d, z + key * kTileLanes + at), hn::Load(d, bias + key * kTileLanes + at));
      hn::Store(x, d, z + key * kTileLanes + at);
      max = hn::Max(max, x);
    }
    const Vec<T> base = hn::IfThenZeroElse(hn::Eq(max, none), max);  // -inf - 0 stays -inf, -inf - -inf would not
    const Vec<T> kept = exp_nonpositive(d, hn::Sub(old, base));
    Vec<T> sum = hn::Mul(hn::Load(d, state.sum + at), kept);
    for (int64_t key = 0; key < keys; ++key) {
      const Vec<T> p = exp_nonpositive(d, hn::Sub(hn::Load(d, z + key * kTileLanes + at), base));
      hn::Store(p, d, z + key * kTileLanes + at);
      sum = hn::Add(sum, p);
    }
    hn::Store(max, d, state.max + at);
    hn::Store(sum, d, state.sum + at);
    hn::Store(kept, d, keep + at);
  }
}

template <class T>
HWY_ATTR void softmax_gradient_of(int64_t keys, T scale, const T* HWY_RESTRICT bias, const LaneGradient<T>& lanes,
                                  T* HWY_RESTRICT z, T* HWY_RESTRICT dp) {
  const Tag<T> d;
  const Vec<T> by = hn::Set(d, scale);
  for (int64_t v = 0; v < kVectors<T>; ++v) {
    const int64_t first = v * kWidth<T>;
    const Vec<T> lse = hn::Load(d, lanes.lse + first), delta = hn::Load(d, lanes.delta + first);
    for (int64_t key = 0; key < keys; ++key) {
      const int64_t at = key * kTileLanes + first;
      const Vec<T> x = hn::MulAdd(by, hn::Load(d, z + at), hn::Load(d, bias + at));
      // rounding may leave x a little above lse
      const Vec<T> p = exp_nonpositive(d, hn::Sub(x, lse));
      hn::Store(p, d, z + at);
      hn::Store(hn::Mul(hn::Mul(p, hn::Sub(hn::Load(d, dp + at), delta)), by), d, dp + at);
    }
  }
}

// out[R rows] at one vector of columns += Σ_k weight[k · stride + r] · rows[k][column].
template <int64_t R, int64_t C, bool kByLane, class T>
HWY_ATTR HWY_INLINE void mix_block(const T* HWY_RESTRICT weight, const T* const* HWY_RESTRICT rows, int64_t from,
                                   int64_t count, T* const* HWY_RESTRICT out, int64_t to) {
  const Tag<T> d;
  Vec<T> sum[R][C];
  for (int64_t r = 0; r < R; ++r)
    for (int64_t c = 0; c < C; ++c) sum[r][c] = hn::LoadU(d, out[r] + to + c * kWidth<T>);
  for (int64_t k = 0; k < count; ++k) {
    Vec<T> x[C];
    for (int64_t c = 0; c < C; ++c) x[c] = hn::LoadU(d, rows[k] + from + c * kWidth<T>);
    for (int64_t r = 0; r < R; ++r) {
      const Vec<T> w = hn::Set(d, kByLane ? weight[k * kTileLanes + r] : weight[r * kTileLanes + k]);
      for (int64_t c = 0; c < C; ++c) sum[r][c] = hn::MulAdd(w, x[c], sum[r][c]);
    }
  }
  for (int64_t r = 0; r < R; ++r)
    for (int64_t c = 0; c < C; ++c) hn::StoreU(sum[r][c], d, out[r] + to + c * kWidth<T>);
}

// One column at a time, the same chain: for widths that fill no vector.
template <bool kByLane, class T>
HWY_ATTR void mix_column(const T* weight, const T* const* rows, int64_t from, int64_t count, int64_t results,
                         T* const* out, int64_t to) {
  const hn::CappedTag<T, 1> d;
  for (int64_t r = 0; r < results; ++r) {
    auto sum = hn::LoadU(d, out[r] + to);
    for (int64_t k = 0; k < count; ++k)
      sum = hn::MulAdd(hn::Set(d, kByLane ? weight[k * kTileLanes + r] : weight[r * kTileLanes + k]),
                       hn::LoadU(d, rows[k] + from), sum);
    hn::StoreU(sum, d, out[r] + to);
  }
}

// Results in register blocks of kRows x 2 vectors, then what is left.
template <bool kByLane, class T>
HWY_ATTR HWY_INLINE void mix_of(const T* weight, const T* const* rows, int64_t from, int64_t count, int64_t width,
                                int64_t results, T* const* out, int64_t to) {
  constexpr int64_t kRows = HWY_TARGET <= HWY_AVX3 ? 8 : 4, kColumns = 2;  // smaller targets are newer
  const int64_t step = kByLane ? 1 : kTileLanes;  // from the weight of a result to the next one's
  int64_t c = 0;
  for (; c + kColumns * kWidth<T> <= width; c += kColumns * kWidth<T>) {
    int64_t r = 0;
    for (; r + kRows <= results; r += kRows)
      mix_block<kRows, kColumns, kByLane>(weight + r * step, rows, from + c, count, out + r, to + c);
    for (; r < results; ++r) mix_block<1, kColumns, kByLane>(weight + r * step, rows, from + c, count, out + r, to + c);
  }
  for (; c + kWidth<T> <= width; c += kWidth<T>)
    for (int64_t r = 0; r < results; ++r)
      mix_block<1, 1, kByLane>(weight + r * step, rows, from + c, count, out + r, to + c);
  for (; c < width; ++c) mix_column<kByLane>(weight, rows, from + c, count, results, out, to + c);
}

template <class T>
HWY_ATTR void mix_keys_of(const T* weight, const T* const* rows, int64_t offset, int64_t keys, int64_t width,
                          int64_t lanes, T* const* out) {
  mix_of<true>(weight, rows, offset, keys, width, lanes, out, 0);
}
template <class T>
HWY_ATTR void spread_lanes_of(const T* weight, const T* const* rows, int64_t lanes, int64_t offset, int64_t keys,
                              int64_t width, T* const* out) {
  mix_of<false>(weight, rows, 0, lanes, width, keys, out, offset);
}

// Four rows at a time: interleaved vectors of columns, moved in fours.
template <class T>
HWY_ATTR void transpose_lanes_of(const T* const* HWY_RESTRICT rows, int64_t count, int64_t width,
                                 T* HWY_RESTRICT lanes) {
  const Tag<T> d;
  const hn::CappedTag<T, 4> four;
  const int64_t few = static_cast<int64_t>(hn::Lanes(four));
  alignas(64) T columns[4 * kTileLanes];
  for (int64_t lane = 0; lane < kTileLanes; lane += 4) {
    const int64_t there = count - lane;
    int64_t c = 0;
    for (; there >= 4 && c + kWidth<T> <= width; c += kWidth<T>) {
      const T* const* from = rows + lane;
      hn::StoreInterleaved4(hn::LoadU(d, from[0] + c), hn::LoadU(d, from[1] + c), hn::LoadU(d, from[2] + c),
                            hn::LoadU(d, from[3] + c), d, columns);
      for (int64_t i = 0; i < kWidth<T>; ++i)
        for (int64_t part = 0; part < 4; part += few)
          hn::StoreU(hn::LoadU(four, columns + 4 * i + part), four, lanes + (c + i) * kTileLanes + lane + part);
    }
    for (; c < width; ++c)
      for (int64_t i = 0; i < 4; ++i) lanes[c * kTileLanes + lane + i] = i < there ? rows[lane + i][c] : T{0};
  }
}

#define SB_TILE_MATH(T, suffix)                                                                                        \
  HWY_ATTR void transpose_lanes_##suffix(const T* const* rows, int64_t count, int64_t width, T* lanes) {               \
    transpose_lanes_of<T>(rows, count, width, lanes);                                                                  \
  }                                                                                                                    \
  HWY_ATTR void dot_lanes_##suffix(const T* a, const T* b, int64_t width, T* out) {                                    \
    dot_lanes_of<T>(a, b, width, out);                                                                                 \
  }                                                                                                                    \
  HWY_ATTR void score_keys_##suffix(const T* const* rows, int64_t offset, int64_t keys, int64_t width, const T* lanes, \
                                    T* out) {                                                                          \
    score_keys_of<T>(rows, offset, keys, width, lanes, out);                                                           \
  }                                                                                                                    \
  HWY_ATTR void softmax_keys_##suffix(int64_t keys, T scale, const T* bias, T* z, LaneState<T>& state, T* keep) {      \
    softmax_keys_of<T>(keys, scale, bias, z, state, keep);                                                             \
  }                                                                                                                    \
  HWY_ATTR void softmax_gradient_##suffix(int64_t keys, T scale, const T* bias, const LaneGradient<T>& lanes, T* z,    \
                                          T* dp) {                                                                     \
    softmax_gradient_of<T>(keys, scale, bias, lanes, z, dp);                                                           \
  }                                                                                                                    \
  HWY_ATTR void mix_keys_##suffix(const T* weight, const T* const* rows, int64_t offset, int64_t keys, int64_t width,  \
                                  int64_t lanes, T* const* out) {                                                      \
    mix_keys_of<T>(weight, rows, offset, keys, width, lanes, out);                                                     \
  }                                                                                                                    \
  HWY_ATTR void spread_lanes_##suffix(const T* weight, const T* const* rows, int64_t lanes, int64_t offset,            \
                                      int64_t keys, int64_t width, T* const* out) {                                    \
    spread_lanes_of<T>(weight, rows, lanes, offset, keys, width, out);                                                 \
  }
SB_TILE_MATH(float, f32)
SB_TILE_MATH(double, f64)
#undef SB_TILE_MATH

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

#define SB_TILE_EXPORT(T, suffix)                                                                                     \
  HWY_EXPORT(transpose_lanes_##suffix);                                                                               \
  template <>                                                                                                         \
  void transpose_lanes<T>(const T* const* rows, int64_t count, int64_t width, T* lanes) {                             \
    HWY_DYNAMIC_DISPATCH(transpose_lanes_##suffix)(rows, count, width, lanes);                                        \
  }                                                                                                                   \
  HWY_EXPORT(dot_lanes_##suffix);                                                                                     \
  template <>                                                                                                         \
  void dot_lanes<T>(const T* a, const T* b, int64_t width, T* out) {                                                  \
    HWY_DYNAMIC_DISPATCH(dot_lanes_##suffix)(a, b, width, out);                                                       \
  }                                                                                                                   \
  HWY_EXPORT(score_keys_##suffix);                                                                                    \
  HWY_EXPORT(softmax_keys_##suffix);                                                                                  \
  HWY_EXPORT(softmax_gradient_##suffix);                                                                              \
  HWY_EXPORT(mix_keys_##suffix);                                                                                      \
  HWY_EXPORT(spread_lanes_##suffix);                                                                                  \
  template <>                                                                                                         \
  void score_keys<T>(const T* const* rows, int64_t offset, int64_t keys, int64_t width, const T* lanes, T* out) {     \
    HWY_DYNAMIC_DISPATCH(score_keys_##suffix)(rows, offset, keys, width, lanes, out);                                 \
  }                                                                                                                   \
  template <>                                                                                                         \
  void softmax_keys<T>(int64_t keys, T scale, const T* bias, T* z, LaneState<T>& state, T* keep) {                    \
    HWY_DYNAMIC_DISPATCH(softmax_keys_##suffix)(keys, scale, bias, z, state, keep);                                   \
  }                                                                                                                   \
  template <>                                                                                                         \
  void softmax_gradient<T>(int64_t keys, T scale, const T* bias, const LaneGradient<T>& lanes, T* z, T* dp) {         \
    HWY_DYNAMIC_DISPATCH(softmax_gradient_##suffix)(keys, scale, bias, lanes, z, dp);                                 \
  }                                                                                                                   \
  template <>                                                                                                         \
  void mix_keys<T>(const T* weight, const T* const* rows, int64_t offset, int64_t keys, int64_t width, int64_t lanes, \
                   T* const* out) {                                                                                   \
    HWY_DYNAMIC_DISPATCH(mix_keys_##suffix)(weight, rows, offset, keys, width, lanes, out);                           \
  }                                                                                                                   \
  template <>                                                                                                         \
  void spread_lanes<T>(const T* weight, const T* const* rows, int64_t lanes, int64_t offset, int64_t keys,            \
                       int64_t width, T* const* out) {                                                                \
    HWY_DYNAMIC_DISPATCH(spread_lanes_##suffix)(weight, rows, lanes, offset, keys, width, out);                       \
  }
SB_TILE_EXPORT(float, f32)
SB_TILE_EXPORT(double, f64)
#undef SB_TILE_EXPORT

}  // namespace smartbird::kernels
#endif
