// Norms on the CPU, compiled for each instruction set; threads take runs of rows, and for the gradient of the weight
// runs of columns.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/normalize.cpp"
#include "kernels/normalize.h"

#include <algorithm>
#include <cmath>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

template <class T>
HWY_ATTR void normalize_run(NormKind kind, double epsilon, const T* x, const T* weight, int64_t rows, int64_t width,
                            T* y, T* stats) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* from = x + row * width;
    T* to = y + row * width;
    T mean = 0;
    if (kind == NormKind::Layer)
      mean = lane_sum<T>(width, [&](auto d, int64_t c) HWY_ATTR { return hn::LoadU(d, from + c); }) /
             static_cast<T>(width);
    const T square = lane_sum<T>(width, [&](auto d, int64_t c) HWY_ATTR {
      const auto centred = hn::Sub(hn::LoadU(d, from + c), hn::Set(d, mean));
      return hn::Mul(centred, centred);
    });
    const T r = T{1} / std::sqrt(square / static_cast<T>(width) + static_cast<T>(epsilon));
    for_elements<T>(0, width, [&](auto d, int64_t c) HWY_ATTR {
      const auto normal = hn::Mul(hn::Sub(hn::LoadU(d, from + c), hn::Set(d, mean)), hn::Set(d, r));
      hn::StoreU(hn::Mul(normal, hn::LoadU(d, weight + c)), d, to + c);
    });
    stats[2 * row] = mean, stats[2 * row + 1] = r;
  }
}

template <class T>
HWY_ATTR void gradient_run(NormKind kind, const T* x, const T* weight, const T* stats, const T* dy, const T* add,
                           int64_t rows, int64_t width, T* dx) {
  for (int64_t row = 0; row < rows; ++row) {
    const T *from = x + row * width, *grad = dy + row * width;
    const T mean = stats[2 * row], r = stats[2 * row + 1];
    const auto scaled = [&](auto d, int64_t c)
                            HWY_ATTR { return hn::Mul(hn::LoadU(d, grad + c), hn::LoadU(d, weight + c)); };
    const auto normal = [&](auto d, int64_t c) HWY_ATTR {
      return hn::Mul(hn::Sub(hn::LoadU(d, from + c), hn::Set(d, mean)), hn::Set(d, r));
    };
    const T along =
        lane_sum<T>(width, [&](auto d, int64_t c) HWY_ATTR { return hn::Mul(scaled(d, c), normal(d, c)); }) /
        static_cast<T>(width);
    T shift = 0;
    if (kind == NormKind::Layer)
      shift = lane_sum<T>(width, [&](auto d, int64_t c) HWY_ATTR { return scaled(d, c); }) / static_cast<T>(width);
    for_elements<T>(0, width, [&](auto d, int64_t c) HWY_ATTR {
      const auto inner = hn::NegMulAdd(normal(d, c), hn::Set(d, along), hn::Sub(scaled(d, c), hn::Set(d, shift)));
      const auto before = add == nullptr ? hn::Zero(d) : hn::LoadU(d, add + row * width + c);
      hn::StoreU(hn::MulAdd(hn::Set(d, r), inner, before), d, dx + row * width + c);
    });
  }
}

// Columns [begin, end).
template <class T>
HWY_ATTR void weight_run(const T* x, const T* stats, const T* dy, int64_t rows, int64_t width, int64_t begin,
                         int64_t end, T* dweight) {
  for (int64_t row = 0; row < rows; ++row) {
    const T mean = stats[2 * row], r = stats[2 * row + 1];
    for_elements<T>(begin, end, [&](auto d, int64_t c) HWY_ATTR {
      const auto normal = hn::Mul(hn::Sub(hn::LoadU(d, x + row * width + c), hn::Set(d, mean)), hn::Set(d, r));
      hn::StoreU(hn::MulAdd(hn::LoadU(d, dy + row * width + c), normal, hn::LoadU(d, dweight + c)), d, dweight + c);
    });
  }
}

#define SB_NORMALIZE(T, suffix)                                                                                      \
  HWY_ATTR void normalize_##suffix(NormKind kind, double epsilon, const T* x, const T* weight, int64_t rows,         \
                                   int64_t width, T* y, T* stats) {                                                  \
    normalize_run(kind, epsilon, x, weight, rows, width, y, stats);                                                  \
  }                                                                                                                  \
  HWY_ATTR void gradient_##suffix(NormKind kind, const T* x, const T* weight, const T* stats, const T* dy,           \
                                  const T* add, int64_t rows, int64_t width, T* dx) {                                \
    gradient_run(kind, x, weight, stats, dy, add, rows, width, dx);                                                  \
  }                                                                                                                  \
  HWY_ATTR void weight_##suffix(const T* x, const T* stats, const T* dy, int64_t rows, int64_t width, int64_t begin, \
                                int64_t end, T* dweight) {                                                           \
    weight_run(x, stats, dy, rows, width, begin, end, dweight);                                                      \
  }
SB_NORMALIZE(float, f32)
SB_NORMALIZE(double, f64)
#undef SB_NORMALIZE

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

constexpr int64_t kRows = 16, kColumns = 64;  // what a thread takes at once

#define SB_NORMALIZE(T, suffix)                                                                                        \
  HWY_EXPORT(normalize_##suffix);                                                                                      \
  HWY_EXPORT(gradient_##suffix);                                                                                       \
  HWY_EXPORT(weight_##suffix);                                                                                         \
  template <>                                                                                                          \
  void normalize_rows<T>(NormKind kind, double epsilon, const T* x, const T* weight, int64_t rows, int64_t width,      \
                         T* y, T* stats) {                                                                             \
    const auto run = HWY_DYNAMIC_DISPATCH(normalize_##suffix);                                                         \
    _Pragma("omp parallel for schedule(static)") for (int64_t row = 0; row < rows; row += kRows) run(                  \
        kind, epsilon, x + row * width, weight, std::min(kRows, rows - row), width, y + row * width, stats + 2 * row); \
  }                                                                                                                    \
  template <>                                                                                                          \
  void normalize_gradient<T>(NormKind kind, const T* x, const T* weight, const T* stats, const T* dy, const T* add,    \
                             int64_t rows, int64_t width, T* dx, T* dweight) {                                         \
    const auto of_weight = HWY_DYNAMIC_DISPATCH(weight_##suffix);                                                      \
    const auto run = HWY_DYNAMIC_DISPATCH(gradient_##suffix);                                                          \
    _Pragma("omp parallel") {                                                                                          \
      _Pragma("omp for schedule(static)") for (int64_t c = 0; c < width; c += kColumns)                                \
          of_weight(x, stats, dy, rows, width, c, std::min(c + kColumns, width), dweight);                             \
      _Pragma("omp for schedule(static)") for (int64_t row = 0; row < rows; row += kRows)                              \
          run(kind, x + row * width, weight, stats + 2 * row, dy + row * width,                                        \
              add == nullptr ? nullptr : add + row * width, std::min(kRows, rows - row), width, dx + row * width);     \
    }                                                                                                                  \
  }
SB_NORMALIZE(float, f32)
SB_NORMALIZE(double, f64)
#undef SB_NORMALIZE

}  // namespace smartbird::kernels
#endif
