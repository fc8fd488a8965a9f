// The GPU's side of kernels/device.cuh.
#pragma once

#include <cuda_runtime.h>

#include <type_traits>

#include "core/error.h"

#define SB_SHARED(T, name, count) __shared__ __align__(16) T name[count]

namespace smartbird::kernels::device {

template <class T>
using Global = T* __restrict__;
template <class T>
using Shared = T*;
inline constexpr uint32_t kAllLanes = ~uint32_t{0};

__device__ inline int thread_in_block() { return static_cast<int>(threadIdx.x); }
__device__ inline int64_t block_in_grid() { return blockIdx.x; }
__device__ inline int64_t blocks_in_grid() { return gridDim.x; }

__device__ inline void sync_block() { __syncthreads(); }
__device__ inline void sync_warp() { __syncwarp(); }
template <class T>
__device__ T shuffle(T value, int lane) {
  return __shfl_sync(kAllLanes, value, lane);
}
template <class T>
__device__ T shuffle_xor(T value, int lanes) {
  return __shfl_xor_sync(kAllLanes, value, lanes);
}
__device__ inline uint32_t ballot(bool vote) { return __ballot_sync(kAllLanes, vote); }
__device__ inline int32_t least(int32_t value) { return __reduce_min_sync(kAllLanes, value); }

__device__ inline float exp2_fast(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}
__device__ inline float log2_fast(float x) {
  float out;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}
__device__ inline float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return __fma_rn(a, b, c); }
__device__ inline float larger(float a, float b) { return fmaxf(a, b); }
__device__ inline float root(float x) { return __fsqrt_rn(x); }
__device__ inline double root(double x) { return __dsqrt_rn(x); }

__device__ inline uint32_t bits_of(float x) { return __float_as_uint(x); }
__device__ inline float float_of(uint32_t bits) { return __uint_as_float(bits); }
__device__ inline uint32_t pair_of(float low, float high) {
  uint32_t out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
__device__ inline uint32_t opaque(uint32_t x) {
  asm volatile("" : "+r"(x));
  return x;
}
__device__ inline int count_bits(uint32_t bits) { return __popc(bits); }

// 16 bytes at from + i, aligned; zeros where not valid.
template <class T, int kCount>
__device__ void load16(const T* from, int64_t i, bool valid, T (&to)[kCount]) {
  static_assert(sizeof(to) == 16);
  union {
    uint4 words;
    T out[kCount];
  } both;
  both.words = valid ? __ldg(reinterpret_cast<const uint4*>(from + i)) : make_uint4(0, 0, 0, 0);
#pragma unroll
  for (int n = 0; n < kCount; ++n) to[n] = both.out[n];
}

template <class T, int kCount>
__device__ void store16(const T (&from)[kCount], T* to, int64_t i) {
  static_assert(sizeof(from) == 16);
  union {
    uint4 words;
    T in[kCount];
  } both;
#pragma unroll
  for (int n = 0; n < kCount; ++n) both.in[n] = from[n];
  *reinterpret_cast<uint4*>(to + i) = both.words;
}

template <class T, int kCount>
__device__ void load_shared(const T* from, int64_t i, T (&to)[kCount]) {
  static_assert(sizeof(to) == 8 || sizeof(to) == 16);
  using Words = std::conditional_t<sizeof(to) == 8, uint2, uint4>;
  union {
    Words words;
    T out[kCount];
  } both;
  both.words = *reinterpret_cast<const Words*>(from + i);
#pragma unroll
  for (int n = 0; n < kCount; ++n) to[n] = both.out[n];
}

template <class T>
__device__ void start_copy16(T* to, int64_t i, const T* from, int64_t j, bool valid) {
  const uint32_t target = static_cast<uint32_t>(__cvta_generic_to_shared(to + i));
  const int bytes = valid ? 16 : 0;  // the rest is filled with zeros; of 0 bytes the address is not looked at
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(from + j), "r"(bytes) : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kGroups>
__device__ void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

__device__ inline void mma_16x8x16(const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4], float (&d)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

__device__ inline int32_t add(int32_t* to, int64_t i, int32_t value) { return atomicAdd(to + i, value); }

template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), int64_t blocks, int threads, Stream stream, const A&... arguments) {
  if (blocks == 0) return;
  if (blocks > INT32_MAX) fail(ErrorKind::Device, name, ": ", blocks, " blocks, a grid has at most 2^31 - 1");
  kernel<<<static_cast<unsigned>(blocks), static_cast<unsigned>(threads), 0,
           static_cast<cudaStream_t>(stream.handle)>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess)
    fail(ErrorKind::Device, name, ": launching ", blocks, " blocks of ", threads,
         " threads: ", cudaGetErrorString(error));
}

}  // namespace smartbird::kernels::device
