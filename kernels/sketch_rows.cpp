// Row-stable sketch rows on the CPU: loops vectorise over outputs or channels, never over what is summed.
#include "kernels/sketch_rows.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace smartbird::kernels {

template <class T>
void row_linear(const T* x, const T* w, int64_t rows, int64_t in, int64_t out, T* y) {
  std::vector<T> columns(static_cast<size_t>(in * out));  // wᵀ [in, out]
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i) columns[static_cast<size_t>(i * out + o)] = w[o * in + i];
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row) {
    T* to = y + row * out;
    std::fill(to, to + out, T{0});
    for (int64_t i = 0; i < in; ++i) {
      const T value = x[row * in + i];
      const T* column = columns.data() + i * out;
      for (int64_t o = 0; o < out; ++o) to[o] = std::fma(value, column[o], to[o]);
    }
  }
}

template <class T>
void row_norm(const T* x, const T* weight, double epsilon, int64_t rows, int64_t width, T* y, T* inv_rms) {
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row) {
    const T* from = x + row * width;
    T sum = 0;
    for (int64_t c = 0; c < width; ++c) sum = std::fma(from[c], from[c], sum);
    const T inverse = T{1} / std::sqrt(sum / static_cast<T>(width) + static_cast<T>(epsilon));
    for (int64_t c = 0; c < width; ++c) y[row * width + c] = from[c] * inverse * weight[c];
    inv_rms[row] = inverse;
  }
}

template <class T>
void row_convolution(const T* x, const int64_t* tap, const T* w, int64_t rows, int64_t taps, int64_t width, T* y) {
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row) {
    T* to = y + row * width;
    std::fill(to, to + width, T{0});
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t source = tap[row * taps + t];
      if (source < 0) continue;
      for (int64_t c = 0; c < width; ++c) to[c] = std::fma(x[source * width + c], w[t * width + c], to[c]);
    }
  }
}

template <class T>
void row_rotary(T* x, const int64_t* position, int64_t rows, int64_t width, double base, int direction) {
  std::vector<double> frequency(static_cast<size_t>(width / 2));
  for (int64_t m = 0; m < width / 2; ++m)
    frequency[static_cast<size_t>(m)] = std::pow(base, -2.0 * static_cast<double>(m) / static_cast<double>(width));
#pragma omp parallel for
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t m = 0; m < width / 2; ++m) {
      const double angle = static_cast<double>(position[row]) * frequency[static_cast<size_t>(m)];
      const T c = static_cast<T>(std::cos(angle)), s = static_cast<T>(direction * std::sin(angle));
      T* pair = x + row * width + 2 * m;
      const T first = pair[0], second = pair[1];
      pair[0] = std::fma(first, c, -(second * s));
      pair[1] = std::fma(first, s, second * c);
    }
  }
}

template void row_linear<float>(const float*, const float*, int64_t, int64_t, int64_t, float*);
template void row_linear<double>(const double*, const double*, int64_t, int64_t, int64_t, double*);
template void row_norm<float>(const float*, const float*, double, int64_t, int64_t, float*, float*);
template void row_norm<double>(const double*, const double*, double, int64_t, int64_t, double*, double*);
template void row_convolution<float>(const float*, const int64_t*, const float*, int64_t, int64_t, int64_t, float*);
template void row_convolution<double>(const double*, const int64_t*, const double*, int64_t, int64_t, int64_t, double*);
template void row_rotary<float>(float*, const int64_t*, int64_t, int64_t, double, int);
template void row_rotary<double>(double*, const int64_t*, int64_t, int64_t, double, int);

}  // namespace smartbird::kernels
