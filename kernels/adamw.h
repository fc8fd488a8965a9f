// One AdamW update of a flat range (Loshchilov and Hutter, 2019), decoupled decay:
//   m = β1 m + (1-β1) g;  v = β2 v + (1-β2) g²;  w -= lr · (m̂ / (sqrt(v̂) + ε) + decay · w),  m̂ = m/(1-β1^step), v̂ alike
// with g = gradient · grad_scale. step counts from 1. Every element alone: any split gives the same bits.
#pragma once

#include <cstdint>

#include "kernels/device_stream.h"

namespace smartbird::kernels {

struct AdamW {
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, decay = 0, grad_scale = 1;
  int64_t step = 1;
};

template <class T>
void adamw(const AdamW& options, int64_t count, const T* gradient, T* weight, T* m, T* v);

// On a GPU, with pointers to its memory; the same bits.
template <class T>
void adamw(Stream stream, const AdamW& options, int64_t count, const T* gradient, T* weight, T* m, T* v);

}  // namespace smartbird::kernels
