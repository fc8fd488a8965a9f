// Sparse attention backward on the CPU: grad_q per row, grad_kv per unit. A unit sums its band rows first, then the rows
// that picked it, each in ascending rows with heads inside: a fixed order, no atomics.
//   P = exp(z - lse), dz = P (do·v - Δ), Δ = do·o;  dq += dz k · scale, dk += dz q · scale, dv += P do
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/attention_row.h"
#include "kernels/pick_transpose.h"

namespace smartbird::kernels {
namespace {

template <class T>
struct Backward {
  const AttentionInput<T>& input;
  const T* grad_o;
  std::vector<T> delta;  // [T, H]
  std::vector<T> lse;    // [T, H], +inf for rows without keys, so that their P is 0

  Backward(const AttentionInput<T>& in, const T* o, const T* row_lse, const T* grad)
      : input(in), grad_o(grad), delta(static_cast<size_t>(in.rows * in.heads)), lse(delta.size()) {
#pragma omp parallel for
    for (int64_t at = 0; at < in.rows * in.heads; ++at) {
      delta[static_cast<size_t>(at)] = dot(grad + at * in.width, o + at * in.width, in.width);
      const bool empty = row_lse[at] == -std::numeric_limits<T>::infinity();
      lse[static_cast<size_t>(at)] = empty ? std::numeric_limits<T>::infinity() : row_lse[at];
    }
  }

  struct Pair {
    T p, dz;
  };
  [[nodiscard]] Pair pair(int64_t at, const T* kv, T log_pi) const {
    const T z = logit(input, input.q + at * input.width, kv, log_pi);
    const T p = std::exp(z - lse[static_cast<size_t>(at)]);
    const T dp = dot(grad_o + at * input.width, kv + input.width, input.width);
    return {p, p * (dp - delta[static_cast<size_t>(at)])};
  }

  void row(int64_t row, int64_t h, T* grad_q) const {
    const int64_t at = row * input.heads + h;
    std::fill(grad_q, grad_q + input.width, T{0});
    const auto add = [&](int64_t unit, T log_pi) {
      const T* kv = unit_row(input, unit);
      add_scaled(pair(at, kv, log_pi).dz * input.scale, kv, input.width, grad_q);
    };
    for_band(input, row, h * input.kv_heads / input.heads, add);
    for_picks(input, row, h, add);
  }

  // Adds what query (row, h) = at sends to a unit.
  void add_to_unit(int64_t at, const T* kv, T log_pi, T* grad_kv) const {
    const Pair x = pair(at, kv, log_pi);
    add_scaled(x.dz * input.scale, input.q + at * input.width, input.width, grad_kv);
    add_scaled(x.p, grad_o + at * input.width, input.width, grad_kv + input.width);
  }

  // The rows whose band holds stream position `token`: contiguous, since both ends ascend.
  void unit_band(int64_t unit, int64_t token, T* grad_kv) const {
    const int64_t g = unit % input.kv_heads, group = input.heads / input.kv_heads;
    const int64_t begin = std::upper_bound(input.band_end, input.band_end + input.rows, token) - input.band_end;
    const int64_t end = std::upper_bound(input.band_begin, input.band_begin + input.rows, token) - input.band_begin;
    for (int64_t row = begin; row < end; ++row)
      for (int64_t h = g * group; h < (g + 1) * group; ++h)
        add_to_unit(row * input.heads + h, unit_row(input, unit), T{0}, grad_kv);
  }

  // The rows of the blocks that picked the unit.
  void unit_picks(int64_t unit, const PicksByUnit& by_unit, T* grad_kv) const {
    const int64_t group = input.heads / input.pick_heads;
    const int64_t last = by_unit.start[static_cast<size_t>(unit) + 1];
    for (int64_t first = by_unit.start[static_cast<size_t>(unit)]; first < last;) {
      const int64_t block = by_unit.list[static_cast<size_t>(first)] / input.pick_heads;
      int64_t next = first;
      while (next < last && by_unit.list[static_cast<size_t>(next)] / input.pick_heads == block) ++next;
      const auto rows = std::equal_range(input.row_block, input.row_block + input.rows, block);
      for (int64_t row = rows.first - input.row_block; row < rows.second - input.row_block; ++row)
        for (int64_t i = first; i < next; ++i) {
          const int64_t head = by_unit.list[static_cast<size_t>(i)] % input.pick_heads;
          const T log_pi = input.pick_log_pi[by_unit.pick[static_cast<size_t>(i)]];
          for (int64_t h = head * group; h < (head + 1) * group; ++h)
            add_to_unit(row * input.heads + h, unit_row(input, unit), log_pi, grad_kv);
        }
      first = next;
    }
  }
};

// [slots] the stream position that a slot holds, -1 = none.
template <class T>
std::vector<int64_t> token_of_slot(const AttentionInput<T>& input) {
  std::vector<int64_t> token(static_cast<size_t>((input.units + input.kv_heads - 1) / input.kv_heads), -1);
  for (int64_t j = 0; j < input.num_tokens; ++j)
    if (input.token_slot[j] >= 0) token[static_cast<size_t>(input.token_slot[j])] = j;
  return token;
}

}  // namespace

template <class T>
void attention_backward(const AttentionInput<T>& input, const T* o, const T* lse, const T* grad_o, T* grad_q,
                        T* grad_kv) {
  const Backward<T> backward(input, o, lse, grad_o);
#pragma omp parallel for schedule(dynamic, 16)
  for (int64_t row = 0; row < input.rows; ++row)
    for (int64_t h = 0; h < input.heads; ++h) backward.row(row, h, grad_q + (row * input.heads + h) * input.width);

  const std::vector<int64_t> token = token_of_slot(input);
  PicksByUnit by_unit;
  if (input.pick_heads > 0)
    by_unit = pick_transpose(input.pick_start, input.blocks * input.pick_heads, input.pick_unit, input.units);
#pragma omp parallel for schedule(dynamic, 16)
  for (int64_t unit = 0; unit < input.units; ++unit) {
    T* grad = grad_kv + unit * 2 * input.width;
    std::fill(grad, grad + 2 * input.width, T{0});
    const int64_t position = token[static_cast<size_t>(unit / input.kv_heads)];
    if (position >= 0) backward.unit_band(unit, position, grad);
    if (input.pick_heads > 0) backward.unit_picks(unit, by_unit, grad);
  }
}

template void attention_backward<float>(const AttentionInput<float>&, const float*, const float*, const float*, float*,
                                        float*);
template void attention_backward<double>(const AttentionInput<double>&, const double*, const double*, const double*,
                                         double*, double*);

}  // namespace smartbird::kernels
