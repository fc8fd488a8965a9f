// Running sums on a GPU, in place: each number becomes the sum of those before it. A block adds up kSumThreads · kRun
// numbers, one block the totals of all, and these are added again.
#pragma once

#include "kernels/device.cuh"

namespace smartbird::kernels {

inline constexpr int kSumThreads = 128;

// Exclusive sums of each block's numbers in place, and their total. carried: one block walks all numbers instead.
template <int kRun>
__global__ void __launch_bounds__(kSumThreads)
    scan_runs(device::Global<int32_t> numbers, int64_t count, bool carried, device::Global<int32_t> totals) {
  SB_SHARED(int32_t, sums, kSumThreads);
  constexpr int64_t kScanned = kSumThreads * kRun;
  const int me = device::thread_in_block();
  int32_t carry = 0;
  for (int64_t first = device::block_in_grid() * kScanned; first < count; first += kScanned) {
    const int64_t begin = first + me * kRun, end = begin + kRun < count ? begin + kRun : count;
    int32_t sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += numbers[i];
    sums[me] = sum;
    device::sync_block();
    int32_t before = carry;
    for (int other = 0; other < me; ++other) before += sums[other];
    for (int other = 0; other < kSumThreads; ++other) carry += sums[other];
    for (int64_t i = begin; i < end; ++i) {
      const int32_t number = numbers[i];
      numbers[i] = before;
      before += number;
    }
    device::sync_block();
    if (!carried) break;
  }
  if (!carried && me == 0) totals[device::block_in_grid()] = carry;
}

template <int kRun>
__global__ void __launch_bounds__(kSumThreads)
    add_totals(device::Global<int32_t> numbers, int64_t count, device::Global<const int32_t> totals) {
  constexpr int64_t kScanned = kSumThreads * kRun;
  const int64_t first = device::block_in_grid() * kScanned;
  const int32_t before = totals[device::block_in_grid()];
  for (int64_t i = first + device::thread_in_block(); i < first + kScanned && i < count; i += kSumThreads)
    numbers[i] += before;
}

// Numbers that running_sums works in.
template <int kRun = 32>
int64_t running_totals(int64_t count) {
  return (count + kSumThreads * kRun - 1) / (kSumThreads * kRun);
}

template <int kRun = 32>
void running_sums(Stream stream, int32_t* numbers, int64_t count, int32_t* totals) {
  const int64_t blocks = running_totals<kRun>(count);
  device::launch("running_sums", scan_runs<kRun>, blocks, kSumThreads, stream, numbers, count, false, totals);
  device::launch("running_sums", scan_runs<kRun>, int64_t{1}, kSumThreads, stream, totals, blocks, true, totals);
  device::launch("running_sums", add_totals<kRun>, blocks, kSumThreads, stream, numbers, count, totals);
}

}  // namespace smartbird::kernels
