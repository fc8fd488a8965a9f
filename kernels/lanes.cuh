// Lanes of a warp as bits.
#pragma once

#include "kernels/device.cuh"

namespace smartbird::kernels {

// Those below mine.
__device__ inline uint32_t lanes_below() { return (uint32_t{1} << device::thread_in_block() % 32) - 1; }
// The lowest of bits that are not all 0.
__device__ inline int lowest_of(uint32_t bits) { return device::count_bits((bits & (0 - bits)) - 1); }
// Lanes whose number, of `bits` bits, is mine; of those there. By all lanes.
__device__ inline uint32_t same_number(int number, int bits, bool there) {
  uint32_t same = device::ballot(there);
  for (int bit = 0; bit < bits; ++bit) {
    const bool mine = (number >> bit & 1) != 0;
    const uint32_t with = device::ballot(mine);
    same &= mine ? with : ~with;
  }
  return same;
}

}  // namespace smartbird::kernels
