// The united picks of a problem, on the device.
#pragma once

#include <numeric>
#include <vector>

#include "device_array.h"
#include "kernels/attention_device.h"
#include "kernels/pick_unite.h"

namespace smartbird::kernels {

struct United {
  template <class Element>
  United(const DeviceAttentionInput<Element>& in, const int32_t* pick_token)
      : United(DevicePickLists{in.rows, in.pick_heads, in.row_block, in.pick_start, pick_token, in.pick_unit}) {}
  explicit United(const DevicePickLists& lists) : start(starts_of(lists)), unit(numbers(), -7), bits(numbers(), 7) {
    if (start.values().size() > 1) pick_unite(Stream{}, lists, start.data(), unit.data(), bits.data());
  }
  static std::vector<int64_t> starts_of(const DevicePickLists& lists) {
    const size_t count = lists.pick_heads == 0 ? 0 : static_cast<size_t>(united_lists(lists.rows, lists.pick_heads));
    device_test::DeviceArray<int64_t> steps(count, -7);
    if (count > 0) count_united_steps(Stream{}, lists, steps.data());
    const std::vector<int64_t> counted = steps.values();
    std::vector<int64_t> out(count + 1, 0);
    std::partial_sum(counted.begin(), counted.end(), out.begin() + 1);
    return out;
  }
  [[nodiscard]] size_t numbers() const { return static_cast<size_t>(start.values().back() * kUnitedKeys); }

  device_test::DeviceArray<int64_t> start;
  device_test::DeviceArray<int32_t> unit;
  device_test::DeviceArray<uint16_t> bits;
};

}  // namespace smartbird::kernels
