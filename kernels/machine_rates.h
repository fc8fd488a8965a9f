// Loops that do nothing but one kind of work, to measure what a machine can do at most: fused multiply-adds in registers,
// exponentials, rows gathered from random places. One call is the work of one thread; the caller takes the time.
#pragma once

#include <cstdint>

namespace smartbird::kernels {

// Multiplies and adds floats in as many registers as hide the latency; returns the floating-point operations (2 an FMA). result: what came out.
[[nodiscard]] double run_fma_loop(int64_t rounds, float* result);

// 2^x of floats, the kernels' own exponential; returns how many.
[[nodiscard]] double run_exp_loop(int64_t rounds, float* result);

// Adds up the rows named by index [count], each `width` floats (a multiple of 16) of `rows`, into sum [width], prefetching ahead; returns the
// bytes read.
[[nodiscard]] double run_gather_loop(const float* rows, int64_t width, const int32_t* index, int64_t count, float* sum);

}  // namespace smartbird::kernels
