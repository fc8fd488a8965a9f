// Sums over rows on the CPU: threads take columns, each of which is one chain over the rows. Compiled for each
// instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_sums.cpp"
#include "kernels/row_sums.h"

#include <algorithm>
#include <vector>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

// to[begin, end) += factor · from[begin, end)
template <class T>
HWY_ATTR HWY_INLINE void add_columns(T factor, const T* from, int64_t begin, int64_t end, T* to) {
  for_elements<T>(begin, end, [&](auto d, int64_t c) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::Set(d, factor), hn::LoadU(d, from + c), hn::LoadU(d, to + c)), d, to + c);
  });
}

template <class T>
HWY_ATTR void index_run(const int64_t* index, const T* rows, int64_t count, int64_t width, int64_t begin, int64_t end,
                        T* table) {
  for (int64_t r = 0; r < count; ++r) add_columns(T{1}, rows + r * width, begin, end, table + index[r] * width);
}

template <class T>
HWY_ATTR void convolution_run(const T* x, const int64_t* tap, const T* w, const T* grad, int64_t count, int64_t taps,
                              int64_t width, int64_t begin, int64_t end, T* grad_x, T* grad_w) {
  for (int64_t r = 0; r < count; ++r)
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t source = tap[r * taps + t];
      if (source < 0) continue;
      for_elements<T>(begin, end, [&](auto d, int64_t c) HWY_ATTR {
        const auto g = hn::LoadU(d, grad + r * width + c);
        T *to_x = grad_x + source * width + c, *to_w = grad_w + t * width + c;
        hn::StoreU(hn::MulAdd(g, hn::LoadU(d, w + t * width + c), hn::LoadU(d, to_x)), d, to_x);
        hn::StoreU(hn::MulAdd(g, hn::LoadU(d, x + source * width + c), hn::LoadU(d, to_w)), d, to_w);
      });
    }
}

template <class T>
HWY_ATTR double squares_run(const T* x, int64_t count) {
  double sum[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane)
      sum[lane] += static_cast<double>(x[i + lane]) * static_cast<double>(x[i + lane]);
  for (; i < count; ++i) sum[i % kLanes] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (int64_t half = kLanes / 2; half > 0; half /= 2)
    for (int64_t lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
  return sum[0];
}

#define SB_ROW_SUMS(T, suffix)                                                                                        \
  HWY_ATTR void index_##suffix(const int64_t* index, const T* rows, int64_t count, int64_t width, int64_t begin,      \
                               int64_t end, T* table) {                                                               \
    index_run(index, rows, count, width, begin, end, table);                                                          \
  }                                                                                                                   \
  HWY_ATTR void convolution_##suffix(const T* x, const int64_t* tap, const T* w, const T* grad, int64_t count,        \
                                     int64_t taps, int64_t width, int64_t begin, int64_t end, T* grad_x, T* grad_w) { \
    convolution_run(x, tap, w, grad, count, taps, width, begin, end, grad_x, grad_w);                                 \
  }                                                                                                                   \
  HWY_ATTR double squares_##suffix(const T* x, int64_t count) { return squares_run(x, count); }
SB_ROW_SUMS(float, f32)
SB_ROW_SUMS(double, f64)
#undef SB_ROW_SUMS

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

constexpr int64_t kColumns = 64, kNarrow = 16;  // columns a thread takes at once
constexpr int64_t kRun = 4096;                  // elements of a partial sum

template <class T>
void mean_of_rows(const int64_t* start, const int64_t* row, const T* rows, int64_t lists, int64_t width, T* out) {
#pragma omp parallel for schedule(static)
  for (int64_t l = 0; l < lists; ++l) {
    T* to = out + l * width;
    std::fill_n(to, width, T{0});
    for (int64_t i = start[l]; i < start[l + 1]; ++i)
      for (int64_t c = 0; c < width; ++c) to[c] += rows[row[i] * width + c];
    const T count = static_cast<T>(std::max<int64_t>(1, start[l + 1] - start[l]));
    for (int64_t c = 0; c < width; ++c) to[c] /= count;
  }
}

template <class T>
void mean_of_rows_gradient(const int64_t* start, const int64_t* row, const T* grad, int64_t lists, int64_t width,
                           T* grad_rows) {
  for (int64_t l = 0; l < lists; ++l) {
    const T count = static_cast<T>(std::max<int64_t>(1, start[l + 1] - start[l]));
    for (int64_t i = start[l]; i < start[l + 1]; ++i)
      for (int64_t c = 0; c < width; ++c) grad_rows[row[i] * width + c] += grad[l * width + c] / count;
  }
}

#define SB_ROW_SUMS(T, suffix)                                                                                         \
  HWY_EXPORT(index_##suffix);                                                                                          \
  HWY_EXPORT(convolution_##suffix);                                                                                    \
  HWY_EXPORT(squares_##suffix);                                                                                        \
  template <>                                                                                                          \
  void add_rows_by_index<T>(const int64_t* index, const T* rows, int64_t count, int64_t width, T* table) {             \
    const auto run = HWY_DYNAMIC_DISPATCH(index_##suffix);                                                             \
    _Pragma("omp parallel for schedule(static)") for (int64_t c = 0; c < width; c += kColumns)                         \
        run(index, rows, count, width, c, std::min(c + kColumns, width), table);                                       \
  }                                                                                                                    \
  template <>                                                                                                          \
  void convolution_gradient<T>(const T* x, const int64_t* tap, const T* w, const T* grad, int64_t count, int64_t taps, \
                               int64_t width, T* grad_x, T* grad_w) {                                                  \
    const auto run = HWY_DYNAMIC_DISPATCH(convolution_##suffix);                                                       \
    _Pragma("omp parallel for schedule(static)") for (int64_t c = 0; c < width; c += kNarrow)                          \
        run(x, tap, w, grad, count, taps, width, c, std::min(c + kNarrow, width), grad_x, grad_w);                     \
  }                                                                                                                    \
  template <>                                                                                                          \
  double sum_of_squares<T>(const T* x, int64_t count) {                                                                \
    const auto run = HWY_DYNAMIC_DISPATCH(squares_##suffix);                                                           \
    std::vector<double> parts(static_cast<size_t>((count + kRun - 1) / kRun));                                         \
    _Pragma("omp parallel for schedule(static)") for (size_t i = 0; i < parts.size(); ++i) {                           \
      const int64_t first = static_cast<int64_t>(i) * kRun;                                                            \
      parts[i] = run(x + first, std::min(kRun, count - first));                                                        \
    }                                                                                                                  \
    double sum = 0;                                                                                                    \
    for (double part : parts) sum += part;                                                                             \
    return sum;                                                                                                        \
  }                                                                                                                    \
  template void mean_of_rows<T>(const int64_t*, const int64_t*, const T*, int64_t, int64_t, T*);                       \
  template void mean_of_rows_gradient<T>(const int64_t*, const int64_t*, const T*, int64_t, int64_t, T*);
SB_ROW_SUMS(float, f32)
SB_ROW_SUMS(double, f64)
#undef SB_ROW_SUMS

}  // namespace smartbird::kernels
#endif
