// Sparse attention forward on the CPU: each (row, head) gathers the logits of one part (band or picks), raises the running
// maximum once, and adds the part to the state in key order.
#include "kernels/sparse_attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/attention_row.h"

namespace smartbird::kernels {
namespace {

template <class T>
struct Part {
  std::vector<T> z;             // [keys] logits
  std::vector<const T*> value;  // [keys] rows of V
};

// Merges a part into the state of one (row, head); an empty part changes nothing.
template <class T>
void add_part(const Part<T>& part, int64_t width, T& m, T& l, T* acc) {
  T max = m;
  for (T z : part.z) max = std::max(max, z);
  if (part.z.empty() || max == -std::numeric_limits<T>::infinity()) return;
  const T keep = std::exp(m - max);  // 0 for an empty state
  l *= keep;
  for (int64_t d = 0; d < width; ++d) acc[d] *= keep;
  for (size_t i = 0; i < part.z.size(); ++i) {
    const T weight = std::exp(part.z[i] - max);
    l += weight;
    add_scaled(weight, part.value[i], width, acc);
  }
  m = max;
}

// walk(row, head, body) names the keys of the part.
template <class T, class Walk>
void attention_part(const AttentionInput<T>& input, Walk walk, T* m, T* l, T* acc) {
#pragma omp parallel
  {
    Part<T> part;
#pragma omp for schedule(dynamic, 16)
    for (int64_t row = 0; row < input.rows; ++row) {
      for (int64_t h = 0; h < input.heads; ++h) {
        const int64_t at = row * input.heads + h;
        part.z.clear();
        part.value.clear();
        walk(row, h, [&](int64_t unit, T log_pi) {
          const T* kv = unit_row(input, unit);
          part.z.push_back(logit(input, input.q + at * input.width, kv, log_pi));
          part.value.push_back(kv + input.width);
        });
        add_part(part, input.width, m[at], l[at], acc + at * input.width);
      }
    }
  }
}

}  // namespace

template <class T>
void attention_begin(int64_t rows, int heads, int width, T* m, T* l, T* acc) {
  std::fill(m, m + rows * heads, -std::numeric_limits<T>::infinity());
  std::fill(l, l + rows * heads, T{0});
  std::fill(acc, acc + rows * heads * width, T{0});
}

template <class T>
void attention_band(const AttentionInput<T>& input, T* m, T* l, T* acc) {
  attention_part(
      input, [&](int64_t row, int64_t h, auto body) { for_band(input, row, h * input.kv_heads / input.heads, body); },
      m, l, acc);
}

template <class T>
void attention_picks(const AttentionInput<T>& input, T* m, T* l, T* acc) {
  attention_part(
      input, [&](int64_t row, int64_t h, auto body) { for_picks(input, row, h, body); }, m, l, acc);
}

template <class T>
void attention_finish(int64_t rows, int heads, int width, const T* m, const T* l, const T* acc, T* o, T* lse) {
#pragma omp parallel for
  for (int64_t at = 0; at < rows * heads; ++at) {
    const T inverse = l[at] > T{0} ? T{1} / l[at] : T{0};
    for (int64_t d = 0; d < width; ++d) o[at * width + d] = acc[at * width + d] * inverse;
    lse[at] = l[at] > T{0} ? m[at] + std::log(l[at]) : -std::numeric_limits<T>::infinity();
  }
}

template void attention_begin<float>(int64_t, int, int, float*, float*, float*);
template void attention_begin<double>(int64_t, int, int, double*, double*, double*);
template void attention_band<float>(const AttentionInput<float>&, float*, float*, float*);
template void attention_band<double>(const AttentionInput<double>&, double*, double*, double*);
template void attention_picks<float>(const AttentionInput<float>&, float*, float*, float*);
template void attention_picks<double>(const AttentionInput<double>&, double*, double*, double*);
template void attention_finish<float>(int64_t, int, int, const float*, const float*, const float*, float*, float*);
template void attention_finish<double>(int64_t, int, int, const double*, const double*, const double*, double*,
                                       double*);

}  // namespace smartbird::kernels
