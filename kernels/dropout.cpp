// Dropout on the CPU: rows in parallel.
#include "kernels/dropout.h"

namespace smartbird::kernels {

template <class T>
void dropout_factors(const Dropout& options, const int64_t* sample, const int64_t* position, int64_t rows,
                     int64_t width, T* factor) {
  const T kept = static_cast<T>(1 / (1 - options.rate));
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t c = 0; c < width; c += 4) {
      const PhiloxCounter numbers = dropout_numbers(options, sample[row], position[row], c);
      for (int64_t i = 0; i < 4 && c + i < width; ++i)
        factor[row * width + c + i] = uniform(numbers[static_cast<size_t>(i)]) < options.rate ? T{0} : kept;
    }
}

template void dropout_factors(const Dropout&, const int64_t*, const int64_t*, int64_t, int64_t, float*);
template void dropout_factors(const Dropout&, const int64_t*, const int64_t*, int64_t, int64_t, double*);

}  // namespace smartbird::kernels
