// Sparse attention (sparse_attention.h) on a GPU: the same lists and the same formula, sums in float. Deterministic. Element:
// float, or uint16_t for the bits of bfloat16 (of q, keys, values and output). A row's bits do not depend on other rows, but
// where the picks of tiles are given on those of its tile of 16. There, and in the band in bfloat16, all numbers must be
// finite: one that is not spoils its tile.
#pragma once

#include "kernels/device_stream.h"
#include "kernels/sparse_attention.h"

namespace smartbird::kernels {

// As AttentionInput, with pointers to the GPU's memory; rows of numbers here and below are 16-byte aligned. Fewer than 2^31
// picks, and rows times heads.
template <class Element>
struct DeviceAttentionInput {
  int64_t rows = 0, units = 0;                               // T, U
  int heads = 0, kv_heads = 0, width = 0;                    // H, G, D: 32, 64 or 128
  float scale = 1;                                           // 1 / sqrt(D)
  const Element* q = nullptr;                                // [T, H, D]
  const Element* kv = nullptr;                               // [U, 2D]
  const int64_t *band_begin = nullptr, *band_end = nullptr;  // [T]
  const int32_t* token_slot = nullptr;                       // [N], -1 = not here
  int64_t slots = 0;                                         // S
  int pick_heads = 0;                                        // 0: no picks, and nothing below
  const int64_t* row_block = nullptr;                        // [T]
  const int64_t* pick_start = nullptr;                       // [Q · pick_heads + 1]
  const int32_t* pick_unit = nullptr;                        // [picks]
  const float* pick_log_pi = nullptr;                        // [picks], as subtracted
  // In bfloat16 the picks of tiles of 16 rows (pick_unite.h), to go through them together, 16 keys a step, fewer than 2^27
  // steps; null: row by row.
  const int64_t* tile_start = nullptr;
  const int32_t* tile_unit = nullptr;
  const uint16_t* tile_bits = nullptr;
};

// o [T, H, D], lse [T, H]; a row without any key: 0 and -inf. ErrorKind::Shape for another width.
template <class Element>
void attention_forward(Stream stream, const DeviceAttentionInput<Element>& input, Element* o, float* lse);

// From o, lse and grad_o [T, H, D]: grad_q [T, H, D], and sums [T, H, 2] for the pass over keys: lse to base 2, and grad_o · o.
template <class Element>
void attention_backward_q(Stream stream, const DeviceAttentionInput<Element>& input, const Element* o, const float* lse,
                          const Element* grad_o, Element* grad_q, float* sums);

// The lists from the side of the keys.
struct DeviceKeyLists {
  const int64_t *slot_begin = nullptr, *slot_end = nullptr;  // [S]: the rows whose band holds a slot
  const int64_t* block_begin = nullptr;                      // [Q + 1]: first row of every block
  int64_t block_rows = 1;                                    // most rows of a block
  const int64_t* start = nullptr;                            // [U + 1], and of every pick, by unit (pick_transpose.h):
  const int32_t* list = nullptr;                             // [picks]: block · pick_heads + pick head
  const float* log_pi = nullptr;                             // [picks]
  int64_t picks = 0;
  float* tails = nullptr;  // [attention_tails(picks), 2D], worked in
  float* band = nullptr;   // [G · S, 2D], worked in; in bfloat16 alone, unless the band is all there is
};

// A unit's picks are cut at multiples of this, so that a key that every row picks does not keep one warp busy.
inline constexpr int64_t kPicksOfWarp = 512;
[[nodiscard]] inline int64_t attention_tails(int64_t picks) { return (picks + kPicksOfWarp - 1) / kPicksOfWarp; }

// grad_kv [U, 2D] from grad_o and sums. A unit's sum runs over the rows of its band, then over its picks, kPicksOfWarp at a
// time, in a fixed order; in bfloat16 the band's part is added last.
template <class Element>
void attention_backward_kv(Stream stream, const DeviceAttentionInput<Element>& input, const DeviceKeyLists& lists,
                           const Element* grad_o, const float* sums, Element* grad_kv);

}  // namespace smartbird::kernels
