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
  int64_t block_rows = 1;
};
[[nodiscard]] DevicePlan to_device(const Plan& plan, at::Device device);
// Those of a plan, made when they are first asked for. By the one thread that computes with the plan.
[[nodiscard]] const DevicePlan& device_lists(const Plan& plan, at::Device device);

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
