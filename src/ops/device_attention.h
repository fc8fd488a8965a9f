// Sparse attention over a plan by the kernels for a GPU (kernels/attention_device.h). q [T, H, D] and units [U, 2D] are float or
// bfloat16 on one device, D is 32, 64 or 128; sums in float. Nothing here waits for the GPU but to_device.
#pragma once

#include "ops/plan.h"

namespace smartbird {

// The lists of a plan where the kernels read them, and the picks by key. One serves all layers of a sketch.
struct DevicePlan {
  at::Tensor band_begin, band_end, row_block;  // [T] int64
  at::Tensor token_slot;                       // [N] int32
  at::Tensor slot_begin, slot_end;             // [S] int64: the rows whose band holds a slot
  at::Tensor block_begin;                      // [Q + 1] int64
  at::Tensor pick_start;                       // [lists + 1] int64
  at::Tensor pick_unit;                        // [picks] int32
  at::Tensor pick_log_pi;                      // [picks] float
  at::Tensor start, list, log_pi;              // [U + 1] int64, [picks] int32 and float: picks by unit
  // Picks of tiles (kernels/pick_unite.h), where in bfloat16 rows share so many keys that it pays: [lists + 1] int64,
  // [steps, 16] int32 and int16. Undefined: rows go through their keys one by one.
  at::Tensor tile_start, tile_unit, tile_bits;
  int64_t block_rows = 1;
};
// queries: of those that will attend, where they lie and of which type they are.
[[nodiscard]] DevicePlan to_device(const Plan& plan, const at::TensorOptions& queries);
// Those of a plan, made when they are first asked for. By the one thread that computes with the plan.
[[nodiscard]] const DevicePlan& device_lists(const Plan& plan, const at::TensorOptions& queries);

struct DeviceAttended {
  at::Tensor o, lse;  // [T, H, D] as q, [T, H] float
};
[[nodiscard]] DeviceAttended device_attention(const at::Tensor& q, const at::Tensor& units, const Plan& plan,
                                              const DevicePlan& lists);

struct DeviceAttentionGrads {
  at::Tensor q, units;
};
[[nodiscard]] DeviceAttentionGrads device_attention_gradient(const at::Tensor& q, const at::Tensor& units,
                                                             const DeviceAttended& out, const at::Tensor& grad_o,
                                                             const Plan& plan, const DevicePlan& lists);

}  // namespace smartbird
