// Three small kernels that do one thing each.
#include <cstdint>

#include "tests/gpu/ceilings.h"
#include "tests/gpu/timing.h"

namespace smartbird::gpu {
namespace {

constexpr int kThreads = 256, kBlocks = 132 * 16, kRounds = 4096;

__global__ void exponentials(float start, float* out) {
  float x[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] = start + static_cast<float>(threadIdx.x + i) * 1e-3F;
  for (int round = 0; round < kRounds; ++round)
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      asm volatile("ex2.approx.ftz.f32 %0, %0;" : "+f"(x[i]));
    }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) sum += x[i];
  if (sum == 12345) *out = sum;
}

// A warp reads two rows of 256 bytes a round, eight rounds in flight.
__global__ void gather(const uint4* rows, uint32_t mask, uint32_t* out) {
  uint32_t state = (blockIdx.x * kThreads + threadIdx.x) / 16 * 2654435761U + 1, sum = 0;
  for (int round = 0; round < 256; ++round) {
    uint4 got[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      state = state * 1664525U + 1013904223U;
      got[i] = __ldg(rows + static_cast<size_t>(state >> 8 & mask) * 16 + threadIdx.x % 16);
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) sum ^= got[i].x ^ got[i].y ^ got[i].z ^ got[i].w;
  }
  if (sum == 12345) *out = sum;
}

}  // namespace

Ceilings measure_ceilings() {
  Ceilings out;
  constexpr size_t kCopied = size_t{1} << 30, kRows = size_t{1} << 16;
  {
    void *from = nullptr, *to = nullptr;
    device_test::require(cudaMalloc(&from, kCopied), "cudaMalloc");
    device_test::require(cudaMalloc(&to, kCopied), "cudaMalloc");
    out.copy_bytes_per_s =
        2e3 * kCopied / median_ms([&] { cudaMemcpyAsync(to, from, kCopied, cudaMemcpyDeviceToDevice); });
    cudaFree(from), cudaFree(to);
  }
  device_test::DeviceArray<float> sink(1);
  device_test::DeviceArray<uint32_t> rows(kRows * 64), seen(1);
  out.exp2_per_s = 1e3 * kBlocks * kThreads * kRounds * 8.0 /
                   median_ms([&] { exponentials<<<kBlocks, kThreads>>>(0.5F, sink.data()); });
  out.gather_bytes_per_s =
      1e3 * kBlocks * kThreads * 256.0 * 8 * 16 / median_ms([&] {
        gather<<<kBlocks, kThreads>>>(reinterpret_cast<const uint4*>(rows.data()), kRows - 1, seen.data());
      });
  device_test::require(cudaGetLastError(), "ceilings");
  return out;
}

}  // namespace smartbird::gpu
