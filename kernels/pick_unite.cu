// Sixteen lists merged by a warp: a lane holds a row's list, the least token of all is next, and the rows that have it go
// on. A step's units and bits gather in the lanes and are written together. Bound by waiting for lists: many warps.
#include "kernels/device.cuh"
#include "kernels/pick_unite.h"

namespace smartbird::kernels {
namespace {

using device::Global;

constexpr int kUniteWarps = 8, kUniteThreads = 32 * kUniteWarps;
constexpr int32_t kNone = INT32_MAX;

struct Lists {
  int64_t rows;
  int pick_heads;
  Global<const int64_t> row_block, pick_start;
  Global<const int32_t> pick_token, pick_unit;
};

// Calls step(units of the lanes, key bits of the lanes) for every sixteen keys; lanes 0 to 15 are the keys, and the rows.
template <class Step>
__device__ void for_steps(const Lists& lists, int64_t list, Step step) {
  const int lane = device::thread_in_block() % 32;
  const int64_t row = list / lists.pick_heads * kUnitedRows + lane;
  int64_t at = 0, end = 0;
  if (lane < kUnitedRows && row < lists.rows) {
    const int64_t mine = lists.row_block[row] * lists.pick_heads + list % lists.pick_heads;
    at = lists.pick_start[mine], end = lists.pick_start[mine + 1];
  }
  int32_t token = kNone, unit = kNone;
  const auto read = [&] {
    token = at < end ? lists.pick_token[at] : kNone;
    if (at < end) unit = lists.pick_unit[at];
  };
  read();
  for (int32_t next = device::least(token); next != kNone;) {
    int32_t key = -1;
    uint32_t bits = 0;
    for (int k = 0; k < kUnitedKeys && next != kNone; ++k) {
      const bool mine = token == next;
      const int32_t united = device::least(mine ? unit : kNone);
      if (lane == k) key = united;
      if (mine) {
        bits |= uint32_t{1} << k;
        ++at;
        read();
      }
      next = device::least(token);
    }
    step(key, bits);
  }
}

__device__ int64_t list_of_warp() { return device::block_in_grid() * kUniteWarps + device::thread_in_block() / 32; }

__global__ void __launch_bounds__(kUniteThreads) count_steps(Lists lists, int64_t num_lists, Global<int64_t> steps) {
  const int64_t list = list_of_warp();
  if (list >= num_lists) return;
  int64_t count = 0;
  for_steps(lists, list, [&](int32_t, uint32_t) { ++count; });
  if (device::thread_in_block() % 32 == 0) steps[list] = count;
}

__global__ void __launch_bounds__(kUniteThreads)
    write_steps(Lists lists, int64_t num_lists, Global<const int64_t> start, Global<int32_t> to_unit,
                Global<uint16_t> to_bits) {
  const int64_t list = list_of_warp();
  if (list >= num_lists) return;
  int64_t at = start[list] * kUnitedKeys + device::thread_in_block() % 32;
  const bool writes = device::thread_in_block() % 32 < kUnitedKeys;
  for_steps(lists, list, [&](int32_t unit, uint32_t bits) {
    if (writes) to_unit[at] = unit, to_bits[at] = static_cast<uint16_t>(bits);
    at += kUnitedKeys;
  });
}

Lists lists_of(const DevicePickLists& lists) {
  return {lists.rows, lists.pick_heads, lists.row_block, lists.pick_start, lists.pick_token, lists.pick_unit};
}
int64_t blocks_of(int64_t lists) { return (lists + kUniteWarps - 1) / kUniteWarps; }

}  // namespace

void count_united_steps(Stream stream, const DevicePickLists& lists, int64_t* steps) {
  const int64_t count = united_lists(lists.rows, lists.pick_heads);
  device::launch("count_united_steps", count_steps, blocks_of(count), kUniteThreads, stream, lists_of(lists), count,
                 steps);
}

void pick_unite(Stream stream, const DevicePickLists& lists, const int64_t* start, int32_t* unit, uint16_t* key_bits) {
  const int64_t count = united_lists(lists.rows, lists.pick_heads);
  device::launch("pick_unite", write_steps, blocks_of(count), kUniteThreads, stream, lists_of(lists), count, start,
                 unit, key_bits);
}

}  // namespace smartbird::kernels
