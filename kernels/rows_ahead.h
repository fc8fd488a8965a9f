// Rows that are read soon, asked for while other work goes on: one after the other, since a burst of requests would make the
// processor wait, and into the second-level cache, where they are not driven out before their turn.
#pragma once

#include <algorithm>

#include "kernels/sparse_attention.h"

namespace smartbird::kernels {

struct UnitSpan {
  const int32_t* unit = nullptr;
  int64_t size = 0;
};

// Calls body(first key, number of keys) for `step` of `keys` at a time and asks meanwhile for `elements` of the row of
// every unit of `next`, `stride` elements from unit to unit, from `table` on.
template <class Element, class Body>
void steps_ahead(int64_t keys, int64_t step, UnitSpan next, const Element* table, int64_t stride, int64_t elements,
                 Body body) {
  if (next.size == 0) return body(int64_t{0}, keys);
  const int64_t steps = (keys + step - 1) / step;
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t i = next.size * s / steps; i < next.size * (s + 1) / steps; ++i)
      for (int64_t at = 0; at < elements; at += 64 / static_cast<int64_t>(sizeof(Element)))
        __builtin_prefetch(table + next.unit[i] * stride + at, 0, 2);
    body(s * step, std::min(step, keys - s * step));
  }
}

// The same for a half of keys and values: [0, D) or [D, 2D).
template <class T, class Body>
void steps_ahead(int64_t keys, int64_t step, UnitSpan next, const AttentionInput<T>& input, int64_t half, Body body) {
  const int64_t width = input.width;
  if (input.kv_bfloat16 != nullptr)
    steps_ahead(keys, step, next, input.kv_bfloat16 + half * width, 2 * width, width, body);
  else
    steps_ahead(keys, step, next, input.kv + half * width, 2 * width, width, body);
}

}  // namespace smartbird::kernels
