// Sixteen rows against sixteen others on the tensor cores, one warp a tile, in bfloat16: products of the two, and sums of
// the others weighted by them. Rows come from the GPU's memory straight into fragments, 16 bytes a lane at a time:
//   products  which numbers of a row a lane multiplies is free as long as both sides agree (gather_keys.cuh)
//   sums      a fragment holds two rows' numbers of one column in a word, and which columns a lane owns is free: it takes
//             those that lie together in four rows, pairs them, and ends with runs of 8 columns to write
// In the words of PTX: with g = lane / 4 and t = lane % 4 a lane has rows g and g + 8 of the tile, and of the others
// 2t, 2t + 1, 2t + 8 and 2t + 9.
#pragma once

#include "kernels/gather_keys.cuh"

namespace smartbird::kernels {

inline constexpr int kMmaRows = 16;

__device__ inline int lane_group() { return device::thread_in_block() % 32 / 4; }
__device__ inline int lane_turn() { return device::thread_in_block() % 4; }
// Place among the 16 others of the lane's number i of row-half c, as products() leaves them: [c][i].
__device__ inline int other_of(int c, int i) { return 8 * c + 2 * lane_turn() + i % 2; }

// The sixteen rows as the left factor.
template <int kWidth>
struct LeftRows {
  uint32_t word[kWidth / 16][4];

  // Places in `from` of rows g and g + 8.
  __device__ void load(device::Global<const uint32_t> from, const int64_t (&row)[2], const bool (&there)[2]) {
    Part<uint32_t, kWidth> half[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) half[r].load(from, row[r], there[r]);
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i) word[k][i] = half[i % 2].word[k / 2][k % 2 * 2 + i / 2];
  }
};

// out[i]: of row g + 8 (i / 2) with one of 8 others, whose row the lane holds a part of: number other_of(0, i).
template <int kWidth>
__device__ void products(const LeftRows<kWidth>& left, const Part<uint32_t, kWidth>& other, float (&out)[4]) {
  float sum[4] = {0, 0, 0, 0};
#pragma unroll
  for (int k = 0; k < kWidth / 16; ++k) {
    const uint32_t b[2] = {other.word[k / 2][k % 2 * 2], other.word[k / 2][k % 2 * 2 + 1]};
    device::mma_16x8x16(left.word[k], b, sum, sum);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = sum[i];
}

// Weights of the others, [row-half c][i] as products() leaves them, as the left factor of a sum.
__device__ inline void weights(const float (&w)[2][4], uint32_t (&left)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) left[i] = device::pair_of(w[i / 2][i % 2 * 2], w[i / 2][i % 2 * 2 + 1]);
}

// The lane's columns of its four others, of one part of their numbers at a time.
template <int kWidth>
struct FourRows {
  static constexpr int kParts = kWidth / 64 + (kWidth < 64), kWords = kWidth / kParts / 16;
  uint32_t word[4][kWords];

  __device__ void load(device::Global<const uint32_t> from, const int64_t (&row)[4], const bool (&there)[4], int part) {
    const int g = lane_group();
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if constexpr (kWidth == 32) {  // 4 columns, half of what a load brings
        uint32_t both[4];
        device::load16(from, row[r] * 16 + g / 2 * 4, there[r], both);
        word[r][0] = g % 2 == 0 ? both[0] : both[2], word[r][1] = g % 2 == 0 ? both[1] : both[3];
      } else {
        device::load16(from, row[r] * (kWidth / 2) + (8 * part + g) * 4, there[r], word[r]);
      }
    }
  }
};

// Sixteen rows of sums in float.
template <int kWidth>
struct TileSums {
  static constexpr int kRuns = kWidth == 32 ? 1 : kWidth / 32;  // of 8 columns, of a row
  float sum[kWidth / 8][4] = {};

  // One part of the rows, times their weights.
  __device__ void add(const uint32_t (&left)[4], const FourRows<kWidth>& rows, int part) {
    constexpr int kWords = FourRows<kWidth>::kWords;
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      const uint32_t low[2] = {(rows.word[0][w] & 0xffffU) | rows.word[1][w] << 16,
                               (rows.word[2][w] & 0xffffU) | rows.word[3][w] << 16},
                     high[2] = {rows.word[0][w] >> 16 | (rows.word[1][w] & 0xffff0000U),
                                rows.word[2][w] >> 16 | (rows.word[3][w] & 0xffff0000U)};
      float(&first)[4] = sum[2 * (part * kWords + w)], (&second)[4] = sum[2 * (part * kWords + w) + 1];
      device::mma_16x8x16(left, low, first, first);
      device::mma_16x8x16(left, high, second, second);
    }
  }
  __device__ void scale(int half, float by) {  // of row g + 8 half
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) sum[j][2 * half] *= by, sum[j][2 * half + 1] *= by;
  }
  // Where a run begins in its row, and its number m.
  __device__ static int column(int run) {
    return kWidth == 32 ? 8 * lane_turn() : 64 * (run / 2) + 16 * lane_turn() + 8 * (run % 2);
  }
  __device__ float number(int half, int run, int m) const {
    if constexpr (kWidth == 32)
      return sum[m % 4][2 * half + m / 4];
    else
      return sum[8 * (run / 2) + m][2 * half + run % 2];
  }
  // Times `by`, rounded, to row `row` of [rows, kWidth / 2] words.
  __device__ void store(int half, float by, device::Global<uint32_t> to, int64_t row) const {
#pragma unroll
    for (int run = 0; run < kRuns; ++run) {
      uint32_t out[4];
#pragma unroll
      for (int w = 0; w < 4; ++w)
        out[w] = device::pair_of(number(half, run, 2 * w) * by, number(half, run, 2 * w + 1) * by);
      device::store16(out, to, (row * kWidth + column(run)) / 2);
    }
  }
  // As they are, to row `row` of [rows, kWidth].
  __device__ void store(int half, device::Global<float> to, int64_t row) const {
#pragma unroll
    for (int run = 0; run < kRuns; ++run)
#pragma unroll
      for (int part = 0; part < 8; part += 4) {
        float out[4];
#pragma unroll
        for (int m = 0; m < 4; ++m) out[m] = number(half, run, part + m);
        device::store16(out, to, row * kWidth + column(run) + part);
      }
  }
};

}  // namespace smartbird::kernels
