// The draw straight from the formulas of kernels/draw.h, one pair at a time in double.
#pragma once

#include <algorithm>
#include <map>

#include "kernels/draw.h"
#include "tests/reference/reference_scan.h"

namespace smartbird::reference {

struct Inclusion {
  std::vector<int64_t> key;   // E, ascending
  std::vector<double> score;  // s
  std::vector<double> pi;     // inclusion probability
};

// The number c >= budget with Σ min(1, c p) = budget (kernels/filled_scan.h), by bisection.
inline double filled_factor(const std::vector<double>& p, double budget) {
  double low = budget, high = 1e12 * budget;
  for (int i = 0; i < 200; ++i) {
    const double middle = std::sqrt(low) * std::sqrt(high);
    double sum = 0;
    for (double x : p) sum += std::min(1.0, middle * x);
    (sum < budget ? low : high) = middle;
  }
  return low;
}

template <class T>
Inclusion inclusion(const kernels::ScanInput<T>& input, int64_t i, const kernels::DrawOptions& o) {
  Inclusion out{domain(input.blocks[i], input.excluded), scores(input, i), {}};
  const double size = static_cast<double>(out.key.size()), k = static_cast<double>(o.picks);
  double lse = log_sum_exp(out.score);
  if (o.fill && size > k && k * (1 - o.floor) > 0) {
    std::vector<double> p;
    for (double s : out.score) p.push_back(std::exp(s - lse));
    lse -= std::log(filled_factor(p, k * (1 - o.floor)) / (k * (1 - o.floor)));
  }
  for (double s : out.score) {
    const double p = o.mode == kernels::DrawMode::Uniform ? 1 / size : std::exp(s - lse);
    out.pi.push_back(size <= k ? 1 : std::min(1.0, k * std::max((1 - o.floor) * p, o.floor / size)));
  }
  return out;
}

// Of a domain larger than K.
inline std::map<int64_t, double> draw_gumbel(const Inclusion& in, const kernels::ScanBlock& block, int head,
                                             const kernels::DrawOptions& o) {
  std::map<int64_t, double> picks;
  if (o.picks == 0) return picks;
  const double size = static_cast<double>(in.key.size()), lse = log_sum_exp(in.score);
  std::vector<double> weight, value;
  for (size_t j = 0; j < in.key.size(); ++j) {
    weight.push_back(std::max((1 - o.floor) * std::exp(in.score[j] - lse), o.floor / size));
    const double u = kernels::draw_uniform(o.key, block.sample, block.group, o.layer, head, in.key[j]);
    value.push_back(std::log(weight[j]) - std::log(-std::log(u)));
  }
  std::vector<double> sorted = value;
  std::sort(sorted.rbegin(), sorted.rend());
  const double kappa = sorted[static_cast<size_t>(o.picks)];
  for (size_t j = 0; j < in.key.size(); ++j)
    if (value[j] > kappa) picks[in.key[j]] = std::log(-std::expm1(-weight[j] * std::exp(-kappa)));
  return picks;
}

inline std::map<int64_t, double> draw_iid(const Inclusion& in, const kernels::ScanBlock& block, int head,
                                          const kernels::DrawOptions& o) {
  std::map<int64_t, double> picks;
  const double size = static_cast<double>(in.key.size()), k = static_cast<double>(o.picks), lse = log_sum_exp(in.score);
  double before = 0;
  for (size_t j = 0; j < in.key.size(); ++j) {
    const double expected = k * ((1 - o.floor) * std::exp(in.score[j] - lse) + o.floor / size),
                 after = before + expected;
    int64_t came = 0;
    for (int64_t n = 0; n < o.picks; ++n) {
      const double u = k * kernels::draw_uniform(o.key, block.sample, block.group, o.layer, head, n);
      came += before < u && u <= after;
    }
    if (came > 0) picks[in.key[j]] = std::log(expected / static_cast<double>(came));
    before = after;
  }
  return picks;
}

// The picks of block i and a head: position -> log π.
template <class T>
std::map<int64_t, double> draw(const kernels::ScanInput<T>& input, int64_t i, int head, const kernels::DrawOptions& o) {
  using kernels::DrawMode;
  std::map<int64_t, double> picks;
  if (o.mode == DrawMode::None) return picks;
  const Inclusion in = inclusion(input, i, o);
  const kernels::ScanBlock& block = input.blocks[i];
  const bool all = static_cast<int64_t>(in.key.size()) <= o.picks;
  double before = 0;
  for (size_t j = 0; j < in.key.size(); ++j) {
    bool picked = all;
    if (!all && (o.mode == DrawMode::Poisson || o.mode == DrawMode::Uniform))
      picked = kernels::draw_uniform(o.key, block.sample, block.group, o.layer, head, in.key[j]) < in.pi[j];
    if (!all && o.mode == DrawMode::Systematic) {
      const double shifted =
          kernels::draw_uniform(o.key, block.sample, block.group, o.layer, 0, 0) + double(head) / o.heads;
      const double u = shifted - std::floor(shifted), after = before + in.pi[j];
      for (int64_t n = 0; n <= o.picks; ++n) picked = picked || (before < n + u && n + u <= after);
      before = after;
    }
    if (!all && o.mode == DrawMode::Gumbel) return draw_gumbel(in, block, head, o);
    if (!all && o.mode == DrawMode::Iid) return draw_iid(in, block, head, o);
    if (!all && o.mode == DrawMode::BigBird) {
      const auto number = [&](size_t other) {
        return kernels::draw_uniform(o.key, 0, block.group, o.layer, head, in.key[other]);
      };
      const size_t first = static_cast<size_t>(o.picks / 2);
      int64_t smaller = 0;
      for (size_t other = first; other < in.key.size(); ++other) smaller += number(other) < number(j);
      picked = j < first || smaller < o.picks - o.picks / 2;
    }
    if (!all && o.mode == DrawMode::TopK) {
      int64_t better = 0;
      for (size_t other = 0; other < in.key.size(); ++other)
        better += in.score[other] > in.score[j] || (in.score[other] == in.score[j] && other < j);
      picked = better < o.picks;
    }
    const bool corrected = o.mode != DrawMode::TopK && o.mode != DrawMode::BigBird;
    if (picked) picks[in.key[j]] = corrected ? std::log(in.pi[j]) : 0.0;
  }
  return picks;
}

}  // namespace smartbird::reference
