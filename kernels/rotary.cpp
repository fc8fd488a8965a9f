// Rotary positions on the CPU, compiled for each instruction set; threads take runs of rows.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rotary.cpp"
#include "kernels/rotary.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

template <class T>
HWY_ATTR void rotate_run(HeadView<const T> from, const T* cosine, const T* sine, T direction, int64_t begin,
                         int64_t end, int64_t heads, int64_t half, HeadView<T> to) {
  for (int64_t row = begin; row < end; ++row)
    for (int64_t head = 0; head < heads; ++head) {
      const T* in = from.data + row * from.row_step + head * from.head_step;
      T* out = to.data + row * to.row_step + head * to.head_step;
      for_elements<T>(0, half, [&](auto d, int64_t i) HWY_ATTR {
        const auto a = hn::LoadU(d, in + i), b = hn::LoadU(d, in + half + i), c = hn::LoadU(d, cosine + row * half + i),
                   s = hn::Mul(hn::Set(d, direction), hn::LoadU(d, sine + row * half + i));
        hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, out + i);
        hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, out + half + i);
      });
    }
}

HWY_ATTR void rotate_f32(HeadView<const float> from, const float* cosine, const float* sine, float direction,
                         int64_t begin, int64_t end, int64_t heads, int64_t half, HeadView<float> to) {
  rotate_run(from, cosine, sine, direction, begin, end, heads, half, to);
}
HWY_ATTR void rotate_f64(HeadView<const double> from, const double* cosine, const double* sine, double direction,
                         int64_t begin, int64_t end, int64_t heads, int64_t half, HeadView<double> to) {
  rotate_run(from, cosine, sine, direction, begin, end, heads, half, to);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(rotate_f32);
HWY_EXPORT(rotate_f64);

namespace {

constexpr int64_t kRows = 32;  // a thread takes at once

template <class T, class Run>
void rotate_in_runs(Run run, HeadView<const T> from, const T* cosine, const T* sine, int direction, int64_t rows,
                    int64_t heads, int64_t width, HeadView<T> to) {
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; row += kRows)
    run(from, cosine, sine, static_cast<T>(direction), row, std::min(row + kRows, rows), heads, width / 2, to);
}

}  // namespace

template <class T>
void rotary_table(const int64_t* position, int64_t rows, int64_t width, double base, T* cosine, T* sine) {
  const int64_t half = width / 2;
  std::vector<double> frequency(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i)
    frequency[static_cast<size_t>(i)] = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(width));
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position[row]) * frequency[static_cast<size_t>(i)];
      cosine[row * half + i] = static_cast<T>(std::cos(angle));
      sine[row * half + i] = static_cast<T>(std::sin(angle));
    }
}
template void rotary_table<float>(const int64_t*, int64_t, int64_t, double, float*, float*);
template void rotary_table<double>(const int64_t*, int64_t, int64_t, double, double*, double*);

template <>
void rotate_heads<float>(HeadView<const float> from, const float* cosine, const float* sine, int direction,
                         int64_t rows, int64_t heads, int64_t width, HeadView<float> to) {
  rotate_in_runs(HWY_DYNAMIC_DISPATCH(rotate_f32), from, cosine, sine, direction, rows, heads, width, to);
}
template <>
void rotate_heads<double>(HeadView<const double> from, const double* cosine, const double* sine, int direction,
                          int64_t rows, int64_t heads, int64_t width, HeadView<double> to) {
  rotate_in_runs(HWY_DYNAMIC_DISPATCH(rotate_f64), from, cosine, sine, direction, rows, heads, width, to);
}

}  // namespace smartbird::kernels
#endif
