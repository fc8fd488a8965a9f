// Row-stable pieces of the sketch: a row's bits depend on that row alone, never on how many rows there are (ATen's
// linear does not promise this). All arrays are row-major; T is float or double; sums run in ascending index order with
// fused multiply-adds in T. Safe for zero rows.
#pragma once

#include <cstdint>

#include "kernels/device_stream.h"

namespace smartbird::kernels {

// y [rows, out] = x [rows, in] · wᵀ, w [out, in].
template <class T>
void row_linear(const T* x, const T* w, int64_t rows, int64_t in, int64_t out, T* y);

// y = x * inv_rms(x) * weight, inv_rms = 1 / sqrt(mean(x²) + epsilon), written to inv_rms [rows]; weight [width].
template <class T>
void row_norm(const T* x, const T* weight, double epsilon, int64_t rows, int64_t width, T* y, T* inv_rms);

// y [rows, width] = Σ_t x[tap[row, t]] * w[t]: depth-wise, w [taps, width]; tap [rows, taps] indexes rows of x [x_rows],
// -1 = outside the sequence (adds nothing).
template <class T>
void row_convolution(const T* x, const int64_t* tap, const T* w, int64_t rows, int64_t taps, int64_t width, T* y);

// Rotary positions in place on x [rows, width] (width even): pairs (2m, 2m+1) turn by position · base^(-2m/width).
// direction = +1 forward, -1 the adjoint.
template <class T>
void row_rotary(T* x, const int64_t* position, int64_t rows, int64_t width, double base, int direction);

// On a GPU, with pointers to its memory; the same bits.
void row_linear(Stream stream, const float* x, const float* w, int64_t rows, int64_t in, int64_t out, float* y);
void row_norm(Stream stream, const float* x, const float* weight, double epsilon, int64_t rows, int64_t width, float* y,
              float* inv_rms);

}  // namespace smartbird::kernels
