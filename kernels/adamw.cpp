// AdamW on the CPU: explicit fused multiply-adds, so that vector body and remainder give the same bits.
#include "kernels/adamw.h"

#include <cmath>

namespace smartbird::kernels {

template <class T>
void adamw(const AdamW& options, int64_t count, const T* gradient, T* weight, T* m, T* v) {
  const double step = static_cast<double>(options.step);
  const T beta1 = static_cast<T>(options.beta1), beta2 = static_cast<T>(options.beta2);
  const T rest1 = static_cast<T>(1 - options.beta1), rest2 = static_cast<T>(1 - options.beta2);
  const T unbias1 = static_cast<T>(1 / (1 - std::pow(options.beta1, step)));
  const T unbias2 = static_cast<T>(1 / (1 - std::pow(options.beta2, step)));
  const T rate = static_cast<T>(options.learning_rate), epsilon = static_cast<T>(options.epsilon);
  const T decay = static_cast<T>(options.decay), scale = static_cast<T>(options.grad_scale);
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; ++i) {
    const T g = gradient[i] * scale;
    m[i] = std::fma(beta1, m[i], rest1 * g);
    v[i] = std::fma(beta2, v[i], rest2 * (g * g));
    const T move = m[i] * unbias1 / (std::sqrt(v[i] * unbias2) + epsilon);
    weight[i] = std::fma(-rate, std::fma(decay, weight[i], move), weight[i]);
  }
}

template void adamw<float>(const AdamW&, int64_t, const float*, float*, float*, float*);
template void adamw<double>(const AdamW&, int64_t, const double*, double*, double*, double*);

}  // namespace smartbird::kernels
