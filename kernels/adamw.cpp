// AdamW on the CPU: explicit fused multiply-adds, so that vector body and remainder give the same bits. Compiled for each
// instruction set; threads take runs of elements.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw.cpp"
#include "kernels/adamw.h"

#include <algorithm>
#include <cmath>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

template <class T>
void update(const AdamW& options, int64_t count, const T* HWY_RESTRICT gradient, T* HWY_RESTRICT weight,
            T* HWY_RESTRICT m, T* HWY_RESTRICT v) {
  const double step = static_cast<double>(options.step);
  const T beta1 = static_cast<T>(options.beta1), beta2 = static_cast<T>(options.beta2);
  const T rest1 = static_cast<T>(1 - options.beta1), rest2 = static_cast<T>(1 - options.beta2);
  const T unbias1 = static_cast<T>(1 / (1 - std::pow(options.beta1, step)));
  const T unbias2 = static_cast<T>(1 / (1 - std::pow(options.beta2, step)));
  const T rate = static_cast<T>(options.learning_rate), epsilon = static_cast<T>(options.epsilon);
  const T decay = static_cast<T>(options.decay), scale = static_cast<T>(options.grad_scale);
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const T g = gradient[i] * scale;
    m[i] = std::fma(beta1, m[i], rest1 * g);
    v[i] = std::fma(beta2, v[i], rest2 * (g * g));
    const T move = m[i] * unbias1 / (std::sqrt(v[i] * unbias2) + epsilon);
    weight[i] = std::fma(-rate, std::fma(decay, weight[i], move), weight[i]);
  }
}

void update_f32(const AdamW& o, int64_t count, const float* g, float* w, float* m, float* v) {
  update(o, count, g, w, m, v);
}
void update_f64(const AdamW& o, int64_t count, const double* g, double* w, double* m, double* v) {
  update(o, count, g, w, m, v);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(update_f32);
HWY_EXPORT(update_f64);

namespace {

template <class T, class Update>
void in_runs(Update update, const AdamW& options, int64_t count, const T* gradient, T* weight, T* m, T* v) {
  constexpr int64_t kRun = 1 << 14;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; i += kRun)
    update(options, std::min(kRun, count - i), gradient + i, weight + i, m + i, v + i);
}

}  // namespace

template <>
void adamw<float>(const AdamW& options, int64_t count, const float* gradient, float* weight, float* m, float* v) {
  in_runs(HWY_DYNAMIC_DISPATCH(update_f32), options, count, gradient, weight, m, v);
}
template <>
void adamw<double>(const AdamW& options, int64_t count, const double* gradient, double* weight, double* m, double* v) {
  in_runs(HWY_DYNAMIC_DISPATCH(update_f64), options, count, gradient, weight, m, v);
}

}  // namespace smartbird::kernels
#endif
