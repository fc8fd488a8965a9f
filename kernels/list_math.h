// Arithmetic of one list of keys and a row that attends all of it: keys lie in the lanes of vectors. Every result is the
// chain that tile_math.h makes of the same row and keys, so the two have the same bits (but for the sign of a zero that
// underflow left).
#pragma once

#include <cstdint>

namespace smartbird::kernels {

inline constexpr int64_t kListStep = 16;  // logits of a list are stored by whole vectors of at most so many
[[nodiscard]] constexpr int64_t list_room(int64_t keys) { return (keys + kListStep - 1) / kListStep * kListStep; }

// out [list_room(keys)] = rows[key] · query over `width` elements, the rows starting `offset` elements in; at least one
// key. What lies behind the keys is finite.
template <class T>
void score_list(const T* const* rows, int64_t offset, int64_t keys, int64_t width, const T* query, T* out);

// z [list_room(keys)] becomes exp(scale · z - log π - max) under the new maximum of the row; `max` and `sum` are its
// state. Returns exp(old max - new max), by which the caller multiplies what the row holds.
template <class T>
[[nodiscard]] T softmax_list(int64_t keys, T scale, const T* log_pi, T* z, T& max, T& sum);

// z becomes P = exp(scale · z - log π - lse), dp [list_room(keys)] becomes dz = P · (dp - delta) · scale.
template <class T>
void softmax_list_gradient(int64_t keys, T scale, const T* log_pi, T lse, T delta, T* z, T* dp);

// out[0, width) += Σ_key weight[key] · rows[key][offset, offset + width), keys ascending.
template <class T>
void mix_list(const T* weight, const T* const* rows, int64_t offset, int64_t keys, int64_t width, T* out);

// out[key][offset, offset + width) += weight[key] · row[0, width).
template <class T>
void spread_list(const T* weight, const T* row, int64_t offset, int64_t keys, int64_t width, T* const* out);

}  // namespace smartbird::kernels
