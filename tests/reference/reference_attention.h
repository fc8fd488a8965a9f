// Attention straight from the formulas of kernels/sparse_attention.h: every (row, head, unit) is on or off, with its log π. Plain loops
// in T: double is the truth, float is the plain formula whose error measures what a float kernel may have.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace smartbird::reference {

template <class T>
struct DenseAttention {
  int64_t rows = 0, heads = 0, units = 0, width = 0;
  T scale = 1;
  std::vector<T> q, kv;   // [rows, heads, width], [units, 2 width]
  std::vector<char> on;   // [rows, heads, units]
  std::vector<T> log_pi;  // [rows, heads, units]
};

template <class T>
struct AttentionResult {
  std::vector<T> o, lse, grad_q, grad_kv;
};

template <class T>
T logit(const DenseAttention<T>& a, int64_t at, int64_t unit) {
  T sum = 0;
  for (int64_t d = 0; d < a.width; ++d) sum += a.q[at * a.width + d] * a.kv[unit * 2 * a.width + d];
  return a.scale * sum - a.log_pi[at * a.units + unit];
}

template <class T>
AttentionResult<T> attention(const DenseAttention<T>& a, const std::vector<T>& grad_o) {
  const T none = -std::numeric_limits<T>::infinity();
  AttentionResult<T> r{std::vector<T>(a.q.size()), std::vector<T>(a.rows * a.heads, none), std::vector<T>(a.q.size()),
                       std::vector<T>(a.kv.size())};
  for (int64_t at = 0; at < a.rows * a.heads; ++at) {
    T max = none, sum = 0, delta = 0;
    for (int64_t u = 0; u < a.units; ++u)
      if (a.on[at * a.units + u]) max = std::max(max, logit(a, at, u));
    if (max == none) continue;
    for (int64_t u = 0; u < a.units; ++u)
      if (a.on[at * a.units + u]) sum += std::exp(logit(a, at, u) - max);
    r.lse[at] = max + std::log(sum);
    for (int64_t u = 0; u < a.units; ++u) {
      if (!a.on[at * a.units + u]) continue;
      const T p = std::exp(logit(a, at, u) - max) / sum;
      for (int64_t d = 0; d < a.width; ++d) r.o[at * a.width + d] += p * a.kv[(2 * u + 1) * a.width + d];
    }
    for (int64_t d = 0; d < a.width; ++d) delta += grad_o[at * a.width + d] * r.o[at * a.width + d];
    for (int64_t u = 0; u < a.units; ++u) {
      if (!a.on[at * a.units + u]) continue;
      const T p = std::exp(logit(a, at, u) - r.lse[at]);
      T dp = 0;
      for (int64_t d = 0; d < a.width; ++d) dp += grad_o[at * a.width + d] * a.kv[(2 * u + 1) * a.width + d];
      const T dz = p * (dp - delta) * a.scale;
      for (int64_t d = 0; d < a.width; ++d) {
        r.grad_q[at * a.width + d] += dz * a.kv[2 * u * a.width + d];
        r.grad_kv[2 * u * a.width + d] += dz * a.q[at * a.width + d];
        r.grad_kv[(2 * u + 1) * a.width + d] += p * grad_o[at * a.width + d];
      }
    }
  }
  return r;
}

template <class A, class B>
double max_error(const std::vector<A>& a, const std::vector<B>& b) {
  double error = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (std::isinf(static_cast<double>(b[i])) && static_cast<double>(a[i]) == static_cast<double>(b[i])) continue;
    const double e = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    error = e <= error ? error : e;  // a NaN stays
  }
  return error;
}

}  // namespace smartbird::reference
