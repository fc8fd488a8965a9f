// What the attention kernels read, from tensors and a plan, which must outlive it.
#pragma once

#include <cmath>

#include "kernels/sparse_attention.h"
#include "ops/plan.h"

namespace smartbird {

// q [T, H, D], units [U, 2D] of q's type or bfloat16, contiguous.
template <class T>
kernels::AttentionInput<T> kernel_input(const at::Tensor& q, const at::Tensor& units, const Plan& plan) {
  kernels::AttentionInput<T> in;
  in.rows = q.size(0), in.units = units.size(0);
  in.heads = plan.heads, in.kv_heads = plan.kv_heads, in.width = static_cast<int>(q.size(2));
  in.scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(q.size(2))));
  in.q = q.const_data_ptr<T>();
  if (units.scalar_type() == at::kBFloat16)
    in.kv_bfloat16 = reinterpret_cast<const uint16_t*>(units.const_data_ptr<at::BFloat16>());
  else
    in.kv = units.const_data_ptr<T>();
  in.band_begin = plan.band_begin.data(), in.band_end = plan.band_end.data();
  in.token_slot = plan.token_slot.data(), in.num_tokens = static_cast<int64_t>(plan.token_slot.size());
  in.slots = plan.token_slots;
  in.blocks = plan.num_blocks, in.pick_heads = plan.pick_heads, in.row_block = plan.row_block.data();
  in.pick_start = plan.pick_start.data(), in.pick_unit = plan.pick_unit.data(), in.pick_token = plan.pick_token.data();
  in.pick_log_pi = plan.pick_log_pi.const_data_ptr<T>();
  in.tiles = &plan.tiles;
  return in;
}

}  // namespace smartbird
