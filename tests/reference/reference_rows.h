// Row functions of a Transformer block by plain loops in double: norms, SwiGLU, rotary positions, token loss, with the
// gradients of the first two. The definition of right for kernels/normalize.h, swiglu.h, rotary.h and token_loss.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace smartbird::reference {

using Doubles = std::vector<double>;

struct Norm {
  bool centred = false;  // LayerNorm
  double epsilon = 1e-5;
};

struct NormRow {
  double mean = 0, r = 0;
};

inline NormRow norm_row(const Norm& norm, const double* x, int64_t width) {
  NormRow out;
  for (int64_t c = 0; norm.centred && c < width; ++c) out.mean += x[c] / static_cast<double>(width);
  double square = 0;
  for (int64_t c = 0; c < width; ++c) square += (x[c] - out.mean) * (x[c] - out.mean) / static_cast<double>(width);
  out.r = 1 / std::sqrt(square + norm.epsilon);
  return out;
}

inline Doubles normalize(const Norm& norm, const Doubles& x, const Doubles& weight, int64_t rows) {
  const int64_t width = static_cast<int64_t>(weight.size());
  Doubles y(x.size());
  for (int64_t row = 0; row < rows; ++row) {
    const NormRow s = norm_row(norm, x.data() + row * width, width);
    for (int64_t c = 0; c < width; ++c)
      y[static_cast<size_t>(row * width + c)] =
          (x[static_cast<size_t>(row * width + c)] - s.mean) * s.r * weight[static_cast<size_t>(c)];
  }
  return y;
}

// dx = Jacobianᵀ g written out: ∂x̂_j/∂x_c = r ([j = c] - [centred] / n - x̂_j x̂_c / n), g = dy weight.
inline Doubles normalize_gradient(const Norm& norm, const Doubles& x, const Doubles& weight, const Doubles& dy,
                                  int64_t rows, Doubles& dweight) {
  const int64_t width = static_cast<int64_t>(weight.size());
  const double n = static_cast<double>(width);
  Doubles dx(x.size());
  for (int64_t row = 0; row < rows; ++row) {
    const double *from = x.data() + row * width, *grad = dy.data() + row * width;
    const NormRow s = norm_row(norm, from, width);
    const auto normal = [&](int64_t c) { return (from[c] - s.mean) * s.r; };
    for (int64_t c = 0; c < width; ++c) {
      for (int64_t j = 0; j < width; ++j)
        dx[static_cast<size_t>(row * width + c)] +=
            grad[j] * weight[static_cast<size_t>(j)] * s.r *
            ((j == c ? 1.0 : 0.0) - (norm.centred ? 1 / n : 0.0) - normal(j) * normal(c) / n);
      dweight[static_cast<size_t>(c)] += grad[c] * normal(c);
    }
  }
  return dx;
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double swiglu(double gate, double up) { return gate * sigmoid(gate) * up; }
inline double swiglu_dgate(double gate, double up) {
  const double s = sigmoid(gate);
  return up * (s + gate * s * (1 - s));
}

// Element i of a head of `width` at `position`.
inline double rotated(const double* head, int64_t i, int64_t width, int64_t position, double base, int direction) {
  const int64_t half = width / 2, pair = i % half;
  const double angle = static_cast<double>(position) *
                       std::pow(base, -2.0 * static_cast<double>(pair) / static_cast<double>(width)) * direction;
  return i < half ? head[i] * std::cos(angle) - head[i + half] * std::sin(angle)
                  : head[i] * std::cos(angle) + head[i - half] * std::sin(angle);
}

// log Σ exp(x) - x[target].
inline double token_loss(const double* x, int64_t vocabulary, int64_t target) {
  double most = x[0], sum = 0;
  for (int64_t v = 1; v < vocabulary; ++v) most = std::max(most, x[v]);
  for (int64_t v = 0; v < vocabulary; ++v) sum += std::exp(x[v] - most);
  return std::log(sum) + most - x[target];
}

}  // namespace smartbird::reference
