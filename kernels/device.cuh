// The few things that kernels (*.cu) ask of a GPU beyond C++. The build gives one of two bodies:
// kernels/cuda/device_body.cuh, or tests/support/simt/device_body.cuh, where they run on the CPU under checks.
//   Global<T>, Shared<T>, SB_SHARED(T, name, count)   pointers to memory of the device and of the block
//   thread_in_block ... blocks_in_grid, sync_block, sync_warp, shuffle, shuffle_xor, ballot, least (whole warps)
//   exp2_fast (2 ulp, zero for results below 2^-126), log2_fast (within 2^-17, from 2^-33 on), fused, root, larger (of a
//   number and a NaN: the number)
//   load16 (16 aligned bytes into registers, zeros where not valid), store16, load_shared (8 or 16 aligned bytes), bits_of,
//   float_of, pair_of (two numbers rounded to bfloat16 to nearest, ties to even, NaN 0x7fff; the first in the low half)
//   count_bits, opaque (the number itself; what is computed from it is computed here, not ahead of a loop)
//   start_copy16 (16 bytes, zeros where not valid), commit_copies, await_copies<groups that may still be on their way>
//   mma_16x8x16: d = a b + c with a [16, 16], b [16, 8] in bfloat16, c and d [16, 8] in float, one fragment a lane; d may
//   be c
//   add (to a number in memory of the device, at once; what it was before)
//   launch(name, kernel, blocks, threads, stream, arguments...): ErrorKind::Device where it cannot be queued
#pragma once

#include <cstdint>

#include "kernels/device_stream.h"
// After the stream.
#include "device_body.cuh"

namespace smartbird::kernels {

inline constexpr float kLog2OfE = 1.44269504088896340736F;

}  // namespace smartbird::kernels
