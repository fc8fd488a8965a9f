// The picks of one block and pick head.
#pragma once

#include "kernels/rows_ahead.h"

namespace smartbird::kernels {

template <class T>
struct PickList {
  const int32_t* unit = nullptr;
  const T* log_pi = nullptr;
  int64_t size = 0;
  UnitSpan next;  // of the next block, which is likely to follow

  PickList(const AttentionInput<T>& input, int64_t list) {
    const auto units = [&](int64_t at) {
      const int64_t begin = input.pick_start[at];
      return UnitSpan{input.pick_unit + begin, input.pick_start[at + 1] - begin};
    };
    unit = units(list).unit, size = units(list).size, log_pi = input.pick_log_pi + input.pick_start[list];
    if (list + input.pick_heads < input.blocks * input.pick_heads) next = units(list + input.pick_heads);
  }
};

}  // namespace smartbird::kernels
