// The rows of some units as T: where they lie, or copies of what lies there in bfloat16.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/aligned_array.h"
#include "kernels/sparse_attention.h"
#include "kernels/widen_rows.h"

namespace smartbird::kernels {

template <class T>
class KeyRows {
 public:
  // Rows [2D] of the units; they last until the next call.
  const T* const* find(const AttentionInput<T>& input, const int32_t* unit, int64_t count) {
    const int64_t width = 2 * input.width;
    rows_.clear();
    if (input.kv_bfloat16 != nullptr) {
      T* copy = copies_.reserve(static_cast<size_t>(count * width));
      widen_rows<T>(input.kv_bfloat16, unit, count, width, copy);
      for (int64_t i = 0; i < count; ++i) rows_.push_back(copy + i * width);
    } else {
      for (int64_t i = 0; i < count; ++i) rows_.push_back(input.kv + unit[i] * width);
    }
    return rows_.data();
  }

 private:
  std::vector<const T*> rows_;
  AlignedBuffer<T> copies_;
};

}  // namespace smartbird::kernels
