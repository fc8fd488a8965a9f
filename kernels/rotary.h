// Rotary positions of heads, half-split as in Llama: with h = width / 2, pair (i, i + h) of a head turns by
// position · base^(-2i/width). Each element alone: any split of the rows gives the same bits.
#pragma once

#include <cstdint>

namespace smartbird::kernels {

// Rows of heads inside a larger array: element (row, head, i) lies at data[row · row_step + head · head_step + i].
template <class T>
struct HeadView {
  T* data = nullptr;
  int64_t row_step = 0, head_step = 0;
};

// cosine, sine [rows, width / 2] of position [rows]; the angle is formed in double.
template <class T>
void rotary_table(const int64_t* position, int64_t rows, int64_t width, double base, T* cosine, T* sine);

// to = from turned by the table's angles: direction +1 forward, -1 the adjoint. from and to may be the same.
template <class T>
void rotate_heads(HeadView<const T> from, const T* cosine, const T* sine, int direction, int64_t rows, int64_t heads,
                  int64_t width, HeadView<T> to);

}  // namespace smartbird::kernels
