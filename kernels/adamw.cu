// AdamW on a GPU: one thread an element, bound by memory (28 bytes an element in float). The host forms the step's
// constants as the CPU's kernel does, and every operation is rounded once: the bits are the CPU's.
#include <algorithm>
#include <cmath>

#include "kernels/adamw.h"
#include "kernels/device.cuh"

namespace smartbird::kernels {
namespace {

template <class T>
struct Constants {
  T beta1, beta2, rest1, rest2, unbias1, unbias2, rate, epsilon, decay, scale;
};

template <class T>
Constants<T> constants_of(const AdamW& o) {
  const double step = static_cast<double>(o.step);
  const auto to = [](double x) { return static_cast<T>(x); };
  return {to(o.beta1),
          to(o.beta2),
          to(1 - o.beta1),
          to(1 - o.beta2),
          to(1 / (1 - std::pow(o.beta1, step))),
          to(1 / (1 - std::pow(o.beta2, step))),
          to(o.learning_rate),
          to(o.epsilon),
          to(o.decay),
          to(o.grad_scale)};
}

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads) update(Constants<T> c, int64_t count, device::Global<const T> gradient,
                                                   device::Global<T> weight, device::Global<T> m, device::Global<T> v) {
  using device::fused;
  const int64_t stride = device::blocks_in_grid() * kThreads;
  for (int64_t i = device::block_in_grid() * kThreads + device::thread_in_block(); i < count; i += stride) {
    const T g = gradient[i] * c.scale;
    const T first = fused(c.beta1, m[i], c.rest1 * g), second = fused(c.beta2, v[i], c.rest2 * (g * g));
    m[i] = first, v[i] = second;
    const T move = first * c.unbias1 / (device::root(second * c.unbias2) + c.epsilon);
    weight[i] = fused(-c.rate, fused(c.decay, weight[i], move), weight[i]);
  }
}

}  // namespace

template <class T>
void adamw(Stream stream, const AdamW& options, int64_t count, const T* gradient, T* weight, T* m, T* v) {
  constexpr int64_t kMostBlocks = 1 << 16;
  const int64_t blocks = std::min(kMostBlocks, (count + kThreads - 1) / kThreads);
  device::launch("adamw", update<T>, blocks, kThreads, stream, constants_of<T>(options), count, gradient, weight, m, v);
}

template void adamw(Stream, const AdamW&, int64_t, const float*, float*, float*, float*);
template void adamw(Stream, const AdamW&, int64_t, const double*, double*, double*, double*);

}  // namespace smartbird::kernels
