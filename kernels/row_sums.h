// Sums over rows whose order is fixed: neither threads nor a cut of the rows into several calls change bits.
#pragma once

#include <cstdint>

#include "kernels/device_stream.h"

namespace smartbird::kernels {

// table [entries, width]: table[index[r]] += rows[r], ascending r; the gradient of a look-up. rows [count, width].
template <class T>
void add_rows_by_index(const int64_t* index, const T* rows, int64_t count, int64_t width, T* table);

// out [lists, width] = mean over i in [start[l], start[l + 1]) of rows[row[i]]; an empty list gives 0.
template <class T>
void mean_of_rows(const int64_t* start, const int64_t* row, const T* rows, int64_t lists, int64_t width, T* out);
// On a GPU, with pointers to its memory; the same bits.
void mean_of_rows(Stream stream, const int64_t* start, const int64_t* row, const float* rows, int64_t lists,
                  int64_t width, float* out);
// Its adjoint: grad_rows[row[i]] += grad[l] / length of l.
template <class T>
void mean_of_rows_gradient(const int64_t* start, const int64_t* row, const T* grad, int64_t lists, int64_t width,
                           T* grad_rows);

// Gradient of a depth-wise convolution y[r] = Σ_t x[tap[r, t]] w[t] (tap -1 adds nothing), added to grad_x [x rows, width]
// and grad_w [taps, width]. grad, y [count, width].
template <class T>
void convolution_gradient(const T* x, const int64_t* tap, const T* w, const T* grad, int64_t count, int64_t taps,
                          int64_t width, T* grad_x, T* grad_w);

// Σ x², in double: runs of 4,096 elements, then their sums in order.
template <class T>
[[nodiscard]] double sum_of_squares(const T* x, int64_t count);

}  // namespace smartbird::kernels
