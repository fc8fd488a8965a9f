// The picks of one block and pick head, and the rows they name.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/list_math.h"
#include "kernels/sparse_attention.h"

namespace smartbird::kernels {

template <class T>
struct PickList {
  int64_t size = 0, next_size = 0;
  const int32_t *unit = nullptr, *next = nullptr;  // next: of the next block, which is likely to follow
  const T* log_pi = nullptr;

  PickList(const AttentionInput<T>& input, int64_t list) {
    const auto size_of = [&](int64_t at) { return input.pick_start[at + 1] - input.pick_start[at]; };
    size = size_of(list), unit = input.pick_unit + input.pick_start[list];
    log_pi = input.pick_log_pi + input.pick_start[list];
    const int64_t after = list + input.pick_heads;
    if (after >= input.blocks * input.pick_heads) return;
    next_size = size_of(after), next = input.pick_unit + input.pick_start[after];
  }

  // The rows of `width` elements of a table of units.
  template <class Row>
  void rows_of(Row* units, int64_t width, std::vector<Row*>& rows) const {
    rows.clear();
    for (int64_t i = 0; i < size; ++i) rows.push_back(units + unit[i] * width);
  }

  // Calls body(first key, number of keys) for kListStep keys at a time, and asks meanwhile for `width` elements of the rows
  // that the next list names; units: those elements of unit 0, `stride` from unit to unit.
  template <class Body>
  void steps(const T* units, int64_t stride, int64_t width, Body body) const {
    for (int64_t key = 0; key < size; key += kListStep) {
      for (int64_t i = key; i < std::min(key + kListStep, next_size); ++i)
        for (int64_t at = 0; at < width; at += 64 / static_cast<int64_t>(sizeof(T)))
          __builtin_prefetch(units + next[i] * stride + at, 0, 2);
      body(key, std::min(kListStep, size - key));
    }
  }
};

}  // namespace smartbird::kernels
