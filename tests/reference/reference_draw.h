// The draw straight from the formulas of kernels/draw.h, one pair at a time in double.
#pragma once

#include <map>

#include "kernels/draw.h"
#include "tests/reference/reference_scan.h"

namespace smartbird::reference {

struct Inclusion {
  std::vector<int64_t> key;   // E, ascending
  std::vector<double> score;  // s
  std::vector<double> pi;     // inclusion probability
};

template <class T>
Inclusion inclusion(const kernels::ScanInput<T>& input, int64_t i, const kernels::DrawOptions& o) {
  Inclusion out{domain(input.blocks[i], input.excluded), scores(input, i), {}};
  const double size = static_cast<double>(out.key.size()), k = static_cast<double>(o.picks),
               lse = log_sum_exp(out.score);
  for (double s : out.score) {
    const double p = o.mode == kernels::DrawMode::Uniform ? 1 / size : std::exp(s - lse);
    out.pi.push_back(size <= k ? 1 : std::min(1.0, k * std::max((1 - o.floor) * p, o.floor / size)));
  }
  return out;
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
    if (!all && o.mode == DrawMode::TopK) {
      int64_t better = 0;
      for (size_t other = 0; other < in.key.size(); ++other)
        better += in.score[other] > in.score[j] || (in.score[other] == in.score[j] && other < j);
      picked = better < o.picks;
    }
    if (picked) picks[in.key[j]] = o.mode == DrawMode::TopK ? 0.0 : std::log(in.pi[j]);
  }
  return picks;
}

}  // namespace smartbird::reference
