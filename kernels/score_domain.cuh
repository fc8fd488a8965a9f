// Which keys a row of a scan on a GPU may see: positions of its sequence, 64 at a time as bits.
#pragma once

#include "kernels/device.cuh"
#include "kernels/scan_tiles.h"

namespace smartbird::kernels {

// The positions [from, to) among the 64 from begin on, as bits.
__device__ inline uint64_t bits_between(int64_t from, int64_t to, int64_t begin) {
  const int64_t low = from > begin ? from - begin : 0, high = to < begin + 64 ? to - begin : 64;
  return low >= high ? 0 : ~uint64_t{0} >> (64 - (high - low)) << low;
}

// Positions of its sequence that a row may see, or that several rows all see.
struct SeenBy {
  int64_t left_begin = 0, left_end = INT64_MAX, right_begin = 0, right_end = INT64_MAX;
  __device__ void narrow(const ScanBlock& block) {
    left_begin = left_begin > block.left_begin ? left_begin : block.left_begin;
    left_end = left_end < block.left_end ? left_end : block.left_end;
    right_begin = right_begin > block.right_begin ? right_begin : block.right_begin;
    right_end = right_end < block.right_end ? right_end : block.right_end;
  }
  __device__ uint64_t bits(int64_t begin) const {
    return bits_between(left_begin, left_end, begin) | bits_between(right_begin, right_end, begin);
  }
};

// Pieces of 64 keys that lie within a range.
class WholePieces {
 public:
  __device__ WholePieces(int64_t begin, int64_t end)
      : first_(to_int((begin + 63) / 64)), count_(static_cast<uint32_t>(larger0(to_int(end / 64) - first_))) {}
  __device__ bool hold(int piece) const { return static_cast<uint32_t>(piece - first_) < count_; }

 private:
  __device__ static int to_int(int64_t x) { return x < INT32_MAX ? static_cast<int>(x) : INT32_MAX; }
  __device__ static int larger0(int x) { return x > 0 ? x : 0; }
  int first_;
  uint32_t count_;
};

// Positions that nobody samples, ascending.
struct Excluded {
  device::Global<const int64_t> positions;
  int64_t count;
  // Those among the 64 positions from begin on.
  __device__ uint64_t bits(int64_t begin) const {
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (positions[middle] < begin)
        low = middle + 1;
      else
        high = middle;
    }
    uint64_t out = 0;
    for (; low < count && positions[low] < begin + 64; ++low) out |= uint64_t{1} << (positions[low] - begin);
    return out;
  }
};

}  // namespace smartbird::kernels
