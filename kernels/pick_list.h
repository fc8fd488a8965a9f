// The picks of one block and pick head.
#pragma once

#include <algorithm>

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

  // Calls body(first key, number of keys) for kListStep keys at a time, and asks meanwhile for rows that the next list
  // names: `elements` of them, of `stride` elements from unit to unit, from `table` on.
  template <class Element, class Body>
  void steps(const Element* table, int64_t stride, int64_t elements, Body body) const {
    for (int64_t key = 0; key < size; key += kListStep) {
      for (int64_t i = key; i < std::min(key + kListStep, next_size); ++i)
        for (int64_t at = 0; at < elements; at += 64 / static_cast<int64_t>(sizeof(Element)))
          __builtin_prefetch(table + next[i] * stride + at, 0, 2);
      body(key, std::min(kListStep, size - key));
    }
  }

  // The same for a half of the next list's keys and values, [0, D) or [D, 2D).
  template <class Body>
  void steps(const AttentionInput<T>& input, int64_t half, Body body) const {
    const int64_t width = input.width;
    if (input.kv_bfloat16 != nullptr)
      steps(input.kv_bfloat16 + half * width, 2 * width, width, body);
    else
      steps(input.kv + half * width, 2 * width, width, body);
  }
};

}  // namespace smartbird::kernels
