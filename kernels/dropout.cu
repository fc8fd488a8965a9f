// Dropout on a GPU: a thread takes four columns of a row, one Philox block. The host turns the rate into the first number that is
// kept, so that no arithmetic of the GPU decides.
#include <algorithm>
#include <cmath>

#include "kernels/device.cuh"
#include "kernels/dropout.h"

namespace smartbird::kernels {
namespace {

constexpr int kThreads = 256;

// The smallest number of 32 bits whose uniform is at least the rate; 2^32 where there is none.
uint64_t first_kept(double rate) {
  uint64_t first = static_cast<uint64_t>(std::clamp(std::floor(rate * 0x1p32) - 1, 0.0, 0x1p32));
  while (first < uint64_t{1} << 32 && uniform(static_cast<uint32_t>(first)) < rate) ++first;
  return first;
}

__global__ void __launch_bounds__(kThreads)
    fill(Dropout options, uint64_t first, float kept, int64_t rows, int64_t width, device::Global<const int64_t> sample,
         device::Global<const int64_t> position, device::Global<float> factor) {
  const int64_t fours = (width + 3) / 4, stride = device::blocks_in_grid() * kThreads;
  for (int64_t i = device::block_in_grid() * kThreads + device::thread_in_block(); i < rows * fours; i += stride) {
    const int64_t row = i / fours, c = i % fours * 4;
    const PhiloxCounter numbers = dropout_numbers(options, sample[row], position[row], c);
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (c + k < width) factor[row * width + c + k] = numbers[static_cast<size_t>(k)] < first ? 0.0F : kept;
  }
}

}  // namespace

void dropout_factors(Stream stream, const Dropout& options, const int64_t* sample, const int64_t* position,
                     int64_t rows, int64_t width, float* factor) {
  constexpr int64_t kMostBlocks = 1 << 16;
  const int64_t blocks = std::min(kMostBlocks, (rows * ((width + 3) / 4) + kThreads - 1) / kThreads);
  if (blocks == 0) return;
  device::launch("dropout", fill, blocks, kThreads, stream, options, first_kept(options.rate),
                 static_cast<float>(1 / (1 - options.rate)), rows, width, sample, position, factor);
}

}  // namespace smartbird::kernels
