// What forward and backward of the sparse attention share, so that both form a logit from the same bits: dot products in
// 16 fixed partial sums (their shape depends on the width alone), and which heads and units belong together.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/sparse_attention.h"

namespace smartbird::kernels {

template <class T>
[[nodiscard]] inline T dot(const T* a, const T* b, int64_t width) {
  constexpr int64_t kSums = 16;
  T sum[kSums] = {};
  int64_t d = 0;
  for (; d + kSums <= width; d += kSums) {
#pragma omp simd
    for (int64_t l = 0; l < kSums; ++l) sum[l] = std::fma(a[d + l], b[d + l], sum[l]);
  }
  for (int64_t l = 0; d + l < width; ++l) sum[l] = std::fma(a[d + l], b[d + l], sum[l]);
  for (int64_t half = kSums / 2; half > 0; half /= 2)
    for (int64_t l = 0; l < half; ++l) sum[l] += sum[l + half];
  return sum[0];
}

// y += a · x
template <class T>
inline void add_scaled(T a, const T* x, int64_t width, T* y) {
  for (int64_t d = 0; d < width; ++d) y[d] = std::fma(a, x[d], y[d]);
}

// z of a pair; log_pi = 0 in the band.
template <class T>
[[nodiscard]] inline T logit(const AttentionInput<T>& input, const T* q, const T* unit, T log_pi) {
  return std::fma(input.scale, dot(q, unit, input.width), -log_pi);
}

template <class T>
[[nodiscard]] inline const T* unit_row(const AttentionInput<T>& input, int64_t unit) {
  return input.kv + unit * 2 * input.width;
}

// Calls body(unit, log_pi) for the band keys of a row in kv head g, ascending; keys without a slot are not on this rank.
template <class T, class Body>
void for_band(const AttentionInput<T>& input, int64_t row, int64_t g, Body body) {
  for (int64_t j = input.band_begin[row]; j < input.band_end[row]; ++j)
    if (input.token_slot[j] >= 0) body(int64_t{input.token_slot[j]} * input.kv_heads + g, T{0});
}

// Calls body(unit, log_pi) for the picks of a row in query head h, in list order.
template <class T, class Body>
void for_picks(const AttentionInput<T>& input, int64_t row, int64_t h, Body body) {
  if (input.pick_heads == 0) return;
  const int64_t list = input.row_block[row] * input.pick_heads + h * input.pick_heads / input.heads;
  for (int64_t i = input.pick_start[list]; i < input.pick_start[list + 1]; ++i)
    body(input.pick_unit[i], input.pick_log_pi[i]);
}

}  // namespace smartbird::kernels
