// Attention on a GPU by the tensor cores (mma_tile.cuh), in bfloat16: what attention_device.h calls where it pays. Weights
// are rounded to bfloat16 as factors of sums, the sums themselves are in float.
#pragma once

#include "kernels/attention_device.h"

namespace smartbird::kernels {

// A tile of 16 rows reads a key once.
[[nodiscard]] inline bool attention_in_tiles(const DeviceAttentionInput<uint16_t>& input) {
  return input.pick_heads == 0 || input.tile_start != nullptr;
}
void attention_forward_in_tiles(Stream stream, const DeviceAttentionInput<uint16_t>& input, uint16_t* o, float* lse);
void attention_backward_q_in_tiles(Stream stream, const DeviceAttentionInput<uint16_t>& input, const uint16_t* o,
                                   const float* lse, const uint16_t* grad_o, uint16_t* grad_q, float* sums);
// The gradient of all units, where the band is all there is: without picks, and no unit but those of slots.
[[nodiscard]] inline bool is_band_alone(const DeviceAttentionInput<uint16_t>& input) {
  return input.pick_heads == 0 && input.units == input.slots * input.kv_heads;
}
void attention_backward_band(Stream stream, const DeviceAttentionInput<uint16_t>& input, const DeviceKeyLists& lists,
                             const uint16_t* grad_o, const float* sums, uint16_t* grad_kv);
// What the rows of its band add to a unit's gradient, dk not yet scaled, to lists.band.
void attention_backward_band(Stream stream, const DeviceAttentionInput<uint16_t>& input, const DeviceKeyLists& lists,
                             const uint16_t* grad_o, const float* sums);

}  // namespace smartbird::kernels
