// The time of work on the GPU: the median of several runs between events, after two that warm up.
#pragma once

#include <algorithm>
#include <vector>

#include "device_array.h"

namespace smartbird::gpu {

template <class Work>
double median_ms(Work work, int runs = 9) {
  cudaEvent_t begin, end;
  device_test::require(cudaEventCreate(&begin), "cudaEventCreate");
  device_test::require(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> times;
  for (int run = -2; run < runs; ++run) {
    device_test::require(cudaEventRecord(begin), "cudaEventRecord");
    work();
    device_test::require(cudaEventRecord(end), "cudaEventRecord");
    device_test::require(cudaEventSynchronize(end), "cudaEventSynchronize");
    float ms = 0;
    device_test::require(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
    if (run >= 0) times.push_back(ms);
  }
  cudaEventDestroy(begin), cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<size_t>(runs / 2)];
}

}  // namespace smartbird::gpu
