// Attention of each row over its band (every key, exactly) and its block's picks, on a resumable state.
//   z_ij = scale · q_i·k_j - log π_ij (picks) or without the last term (band);  o_i = Σ softmax(z)_ij v_j
// Keys and values live in units: kv [U, 2D], a unit holds one key/value head's K then V of one row. The band names keys by
// stream position; unit = g · slots + token_slot[position], so that a head's rows lie side by side (a row's heads would
// compete for the same cache sets). Picks name units. Within a row keys are taken in
// ascending order, band first, so a row's bits do not depend on the other rows, on threads or on where units lie.
// A row without any key: o = 0, lse = -inf. Backward sums per unit in a fixed order of rows: deterministic, no atomics.
#pragma once

#include <cstdint>
#include <functional>

namespace smartbird::kernels {

struct PickTiles;

template <class T>
struct AttentionInput {
  int64_t rows = 0;                        // T (rows of this rank)
  int64_t units = 0;                       // U
  int heads = 0, kv_heads = 0, width = 0;  // H, G, D
  T scale = 1;                             // 1 / sqrt(D)
  const T* q = nullptr;                    // [T, H, D]
  const T* kv = nullptr;                   // [U, 2D]
  const uint16_t* kv_bfloat16 = nullptr;   // [U, 2D] instead: the arithmetic is that of the same values in T
  // band: stream positions [band_begin, band_end) of each row; both ascend with the row
  const int64_t* band_begin = nullptr;  // [T]
  const int64_t* band_end = nullptr;    // [T]
  const int32_t* token_slot = nullptr;  // [N] stream position -> slot, -1 = not on this rank
  int64_t num_tokens = 0;               // N
  int64_t slots = 0;                    // S
  // picks: lists of (block, pick head); query head h uses pick head h · pick_heads / heads
  int64_t blocks = 0;                   // Q
  int pick_heads = 0;                   // G or H; 0 = no picks
  const int64_t* row_block = nullptr;   // [T] block of a row, ascending
  const int64_t* pick_start = nullptr;  // [Q · pick_heads + 1]
  const int32_t* pick_unit = nullptr;   // [picks]
  const int32_t* pick_token = nullptr;  // [picks] stream position of the unit's row, ascending in each list
  const T* pick_log_pi = nullptr;       // [picks], already capped; 0 where no correction applies
  const PickTiles* tiles = nullptr;     // unite_picks of all this; not needed for the band alone
};

// The state between parts: m [T, H] running max (-inf when empty), l [T, H] running sum, acc [T, H, D].
template <class T>
void attention_begin(int64_t rows, int heads, int width, T* m, T* l, T* acc);
template <class T>
void attention_band(const AttentionInput<T>& input, T* m, T* l, T* acc);
template <class T>
void attention_picks(const AttentionInput<T>& input, T* m, T* l, T* acc);
// o [T, H, D] = acc / l (0 when empty), lse [T, H] = m + log l (-inf when empty).
template <class T>
void attention_finish(int64_t rows, int heads, int width, const T* m, const T* l, const T* acc, T* o, T* lse);

// From o, lse and grad_o [T, H, D]: grad_q [T, H, D], grad_kv [U, 2D] (both overwritten).
template <class T>
void attention_backward(const AttentionInput<T>& input, const T* o, const T* lse, const T* grad_o, T* grad_q,
                        T* grad_kv);
// The same in two calls, at the price of reading q, o and grad_o twice, up to rounding. Picks overwrite both: units behind the
// slots of all heads, which no band reads, are complete after it. The band adds; its calling thread calls now_and_then(),
// which must not throw, between pieces of the work.
template <class T>
void attention_backward_picks(const AttentionInput<T>& input, const T* o, const T* lse, const T* grad_o, T* grad_q,
                              T* grad_kv);
template <class T>
void attention_backward_band(const AttentionInput<T>& input, const T* o, const T* lse, const T* grad_o, T* grad_q,
                             T* grad_kv, const std::function<void()>& now_and_then = {});

}  // namespace smartbird::kernels
