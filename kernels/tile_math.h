// Arithmetic of one attention tile (attention_tile.h): products of 16 lanes with rows named by pointers, so that gathered
// rows are read where they lie. Every result is one chain of fused multiply-adds, ascending over what is summed.
#pragma once

#include <cstdint>

#include "kernels/attention_tile.h"

namespace smartbird::kernels {

inline constexpr int64_t kTileStep = 24;  // keys of a product between two looks ahead (rows_ahead.h)

// lanes [width, 16]: the columns of 16 rows of `width` elements; lanes beyond `count` are zero.
template <class T>
void transpose_lanes(const T* const* rows, int64_t count, int64_t width, T* lanes);

// out [16] = Σ_c a[c, lane] · b[c, lane], the chain of score_keys: where a lane has one key, Δ and do · v are the same bits.
template <class T>
void dot_lanes(const T* a, const T* b, int64_t width, T* out);

// out [keys, 16] = rows[key] · lane, the rows starting `offset` elements in.
template <class T>
void score_keys(const T* const* rows, int64_t offset, int64_t keys, int64_t width, const T* lanes, T* out);

// The state of 16 lanes: running maximum and sum.
template <class T>
struct LaneState {
  alignas(64) T max[kTileLanes], sum[kTileLanes];
};

// z [keys, 16] becomes exp(scale · z + bias - max) under the new maximum; keep [16] = exp(old max - new max), by which the
// caller multiplies what the lanes hold. A lane without keys so far keeps max = -inf, sum = 0.
template <class T>
void softmax_keys(int64_t keys, T scale, const T* bias, T* z, LaneState<T>& state, T* keep);

// What the lanes hold in the backward pass: lse (+inf where a lane has no key) and Δ = do · o.
template <class T>
struct LaneGradient {
  alignas(64) T lse[kTileLanes], delta[kTileLanes];
};

// z [keys, 16] becomes P = exp(scale · z + bias - lse), dp [keys, 16] becomes dz = P · (dp - Δ) · scale.
template <class T>
void softmax_gradient(int64_t keys, T scale, const T* bias, const LaneGradient<T>& lanes, T* z, T* dp);

// out[lane][0, width) += Σ_key weight[key, lane] · rows[key][offset, offset + width), keys ascending.
template <class T>
void mix_keys(const T* weight, const T* const* rows, int64_t offset, int64_t keys, int64_t width, int64_t lanes,
              T* const* out);

// out[key][offset, offset + width) += Σ_lane weight[key, lane] · rows[lane][0, width), lanes ascending.
template <class T>
void spread_lanes(const T* weight, const T* const* rows, int64_t lanes, int64_t offset, int64_t keys, int64_t width,
                  T* const* out);

}  // namespace smartbird::kernels
