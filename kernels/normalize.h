// RMSNorm and LayerNorm of rows, and their gradient. x [rows, width], weight [width], stats [rows, 2] = (mean, r):
//   rms:   mean = 0;  r = 1 / sqrt(mean(x²) + ε)            x̂ = (x - mean) r,  y = x̂ weight
//   layer: mean = mean(x);  r = 1 / sqrt(mean((x - mean)²) + ε)
//   g = dy weight;  dx = add + r (g - [layer] mean(g) - x̂ mean(g x̂));  dweight += Σ_rows dy x̂
// Every row alone, and dweight is one chain over ascending rows: neither threads nor a cut of the rows into several calls
// change bits. Zero rows are legal.
#pragma once

#include <cstdint>

namespace smartbird::kernels {

enum class NormKind { Rms, Layer };

template <class T>
void normalize_rows(NormKind kind, double epsilon, const T* x, const T* weight, int64_t rows, int64_t width, T* y,
                    T* stats);

// add: nullptr = 0; dx may be add or dy.
template <class T>
void normalize_gradient(NormKind kind, const T* x, const T* weight, const T* stats, const T* dy, const T* add,
                        int64_t rows, int64_t width, T* dx, T* dweight);

}  // namespace smartbird::kernels
