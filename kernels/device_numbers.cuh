// Numbers in the GPU's memory, float or the bits of bfloat16, to and from registers.
#pragma once

#include "kernels/device.cuh"

namespace smartbird::kernels {

__device__ inline float number(float x) { return x; }
__device__ inline float number(uint16_t bits) { return device::float_of(static_cast<uint32_t>(bits) << 16); }
__device__ inline void put(float x, float& to) { to = x; }
__device__ inline void put(float x, uint16_t& to) { to = static_cast<uint16_t>(device::pair_of(x, 0)); }

}  // namespace smartbird::kernels
