// Row-stable sketch rows on the CPU: loops vectorise over outputs or channels, never over what is summed. Compiled for
// each instruction set; threads take runs of rows.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sketch_rows.cpp"
#include "kernels/sketch_rows.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

// columns: wᵀ [in, out].
template <class T>
void linear_rows(const T* x, const T* columns, int64_t begin, int64_t end, int64_t in, int64_t out, T* y) {
  for (int64_t row = begin; row < end; ++row) {
    T* HWY_RESTRICT to = y + row * out;
    std::fill(to, to + out, T{0});
    for (int64_t i = 0; i < in; ++i) {
      const T value = x[row * in + i];
      const T* column = columns + i * out;
      for (int64_t o = 0; o < out; ++o) to[o] = std::fma(value, column[o], to[o]);
    }
  }
}

template <class T>
void norm_rows(const T* x, const T* weight, double epsilon, int64_t begin, int64_t end, int64_t width, T* y,
               T* inv_rms) {
  for (int64_t row = begin; row < end; ++row) {
    const T* from = x + row * width;
    T sum = 0;
    for (int64_t c = 0; c < width; ++c) sum = std::fma(from[c], from[c], sum);
    const T inverse = T{1} / std::sqrt(sum / static_cast<T>(width) + static_cast<T>(epsilon));
    for (int64_t c = 0; c < width; ++c) y[row * width + c] = from[c] * inverse * weight[c];
    inv_rms[row] = inverse;
  }
}

template <class T>
void convolution_rows(const T* x, const int64_t* tap, const T* w, int64_t begin, int64_t end, int64_t taps,
                      int64_t width, T* y) {
  for (int64_t row = begin; row < end; ++row) {
    T* HWY_RESTRICT to = y + row * width;
    std::fill(to, to + width, T{0});
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t source = tap[row * taps + t];
      if (source < 0) continue;
      for (int64_t c = 0; c < width; ++c) to[c] = std::fma(x[source * width + c], w[t * width + c], to[c]);
    }
  }
}

// turns: cos, sin of every pair of a row.
template <class T>
void turn_row(T* HWY_RESTRICT row, const T* HWY_RESTRICT turns, int64_t pairs) {
  for (int64_t m = 0; m < pairs; ++m) {
    const T c = turns[2 * m], s = turns[2 * m + 1], first = row[2 * m], second = row[2 * m + 1];
    row[2 * m] = std::fma(first, c, -(second * s));
    row[2 * m + 1] = std::fma(first, s, second * c);
  }
}

#define SB_SKETCH_ROWS(T, suffix)                                                                                  \
  void linear_##suffix(const T* x, const T* w, int64_t begin, int64_t end, int64_t in, int64_t out, T* y) {        \
    linear_rows(x, w, begin, end, in, out, y);                                                                     \
  }                                                                                                                \
  void norm_##suffix(const T* x, const T* weight, double epsilon, int64_t begin, int64_t end, int64_t width, T* y, \
                     T* inv_rms) {                                                                                 \
    norm_rows(x, weight, epsilon, begin, end, width, y, inv_rms);                                                  \
  }                                                                                                                \
  void convolution_##suffix(const T* x, const int64_t* tap, const T* w, int64_t begin, int64_t end, int64_t taps,  \
                            int64_t width, T* y) {                                                                 \
    convolution_rows(x, tap, w, begin, end, taps, width, y);                                                       \
  }                                                                                                                \
  void turn_##suffix(T* row, const T* turns, int64_t pairs) { turn_row(row, turns, pairs); }
SB_SKETCH_ROWS(float, f32)
SB_SKETCH_ROWS(double, f64)
#undef SB_SKETCH_ROWS

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(linear_f32);
HWY_EXPORT(linear_f64);
HWY_EXPORT(norm_f32);
HWY_EXPORT(norm_f64);
HWY_EXPORT(convolution_f32);
HWY_EXPORT(convolution_f64);
HWY_EXPORT(turn_f32);
HWY_EXPORT(turn_f64);

namespace {

constexpr int64_t kRun = 64;  // rows a thread takes at once

// body(begin, end) over runs of rows.
template <class Body>
void for_runs(int64_t rows, Body body) {
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < rows; begin += kRun) body(begin, std::min(begin + kRun, rows));
}

// The function for T of a pair exported for float and double.
template <class T, class F32, class F64>
auto of_type(F32 f32, F64 f64) {
  if constexpr (sizeof(T) == sizeof(float))
    return f32;
  else
    return f64;
}

}  // namespace

template <class T>
void row_linear(const T* x, const T* w, int64_t rows, int64_t in, int64_t out, T* y) {
  std::vector<T> columns(static_cast<size_t>(in * out));  // wᵀ [in, out]
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i) columns[static_cast<size_t>(i * out + o)] = w[o * in + i];
  const auto run = of_type<T>(HWY_DYNAMIC_DISPATCH(linear_f32), HWY_DYNAMIC_DISPATCH(linear_f64));
  for_runs(rows, [&](int64_t begin, int64_t end) { run(x, columns.data(), begin, end, in, out, y); });
}

template <class T>
void row_norm(const T* x, const T* weight, double epsilon, int64_t rows, int64_t width, T* y, T* inv_rms) {
  const auto run = of_type<T>(HWY_DYNAMIC_DISPATCH(norm_f32), HWY_DYNAMIC_DISPATCH(norm_f64));
  for_runs(rows, [&](int64_t begin, int64_t end) { run(x, weight, epsilon, begin, end, width, y, inv_rms); });
}

template <class T>
void row_convolution(const T* x, const int64_t* tap, const T* w, int64_t rows, int64_t taps, int64_t width, T* y) {
  const auto run = of_type<T>(HWY_DYNAMIC_DISPATCH(convolution_f32), HWY_DYNAMIC_DISPATCH(convolution_f64));
  for_runs(rows, [&](int64_t begin, int64_t end) { run(x, tap, w, begin, end, taps, width, y); });
}

template <class T>
void row_rotary(T* x, const int64_t* position, int64_t rows, int64_t width, double base, int direction) {
  std::vector<double> frequency(static_cast<size_t>(width / 2));
  for (int64_t m = 0; m < width / 2; ++m)
    frequency[static_cast<size_t>(m)] = std::pow(base, -2.0 * static_cast<double>(m) / static_cast<double>(width));
  const auto turn = of_type<T>(HWY_DYNAMIC_DISPATCH(turn_f32), HWY_DYNAMIC_DISPATCH(turn_f64));
  for_runs(rows, [&](int64_t begin, int64_t end) {
    std::vector<T> turns(static_cast<size_t>(width));
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t m = 0; m < width / 2; ++m) {
        const double angle = static_cast<double>(position[row]) * frequency[static_cast<size_t>(m)];
        turns[static_cast<size_t>(2 * m)] = static_cast<T>(std::cos(angle));
        turns[static_cast<size_t>(2 * m + 1)] = static_cast<T>(direction * std::sin(angle));
      }
      turn(x + row * width, turns.data(), width / 2);
    }
  });
}

#define SB_SKETCH_ROWS(T)                                                                              \
  template void row_linear<T>(const T*, const T*, int64_t, int64_t, int64_t, T*);                      \
  template void row_norm<T>(const T*, const T*, double, int64_t, int64_t, T*, T*);                     \
  template void row_convolution<T>(const T*, const int64_t*, const T*, int64_t, int64_t, int64_t, T*); \
  template void row_rotary<T>(T*, const int64_t*, int64_t, int64_t, double, int);
SB_SKETCH_ROWS(float)
SB_SKETCH_ROWS(double)
#undef SB_SKETCH_ROWS

}  // namespace smartbird::kernels
#endif
