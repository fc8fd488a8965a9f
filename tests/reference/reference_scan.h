// The sketch's domains, scores and log-sum-exp straight from their definitions, with plain loops in T; and the random
// packed streams on which scan and draw are tested.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/sketch_scan.h"

namespace smartbird::reference {

inline std::vector<int64_t> domain(const kernels::ScanBlock& block, std::span<const int64_t> excluded) {
  std::vector<int64_t> keys;
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j)
      if (std::find(excluded.begin(), excluded.end(), j) == excluded.end()) keys.push_back(j);
  };
  add(block.left_begin, block.left_end);
  add(block.right_begin, block.right_end);
  return keys;
}

// Scores of block i over its domain.
template <class T>
std::vector<double> scores(const kernels::ScanInput<T>& input, int64_t i) {
  std::vector<double> s;
  for (int64_t j : domain(input.blocks[i], input.excluded)) {
    double sum = 0;
    for (int64_t m = 0; m < input.width; ++m)
      sum += static_cast<double>(input.queries[i * input.width + m]) *
             static_cast<double>(input.keys[(input.blocks[i].first_key + j) * input.width + m]);
    s.push_back(sum * static_cast<double>(input.scale));
  }
  return s;
}

inline double log_sum_exp(const std::vector<double>& s) {
  if (s.empty()) return -std::numeric_limits<double>::infinity();
  const double max = *std::max_element(s.begin(), s.end());
  double sum = 0;
  for (double x : s) sum += std::exp(x - max);
  return max + std::log(sum);
}

struct StreamShape {
  std::vector<int64_t> lengths;                         // of the packed sequences
  int64_t block = 1, window = 0, share = 1, width = 4;  // share 0 = one group per sequence
  bool causal = true;
  std::vector<int64_t> excluded = {};
  uint64_t first_sample = 0;
};

template <class T>
struct Stream {
  std::vector<T> queries, keys;
  std::vector<kernels::ScanBlock> blocks;
  std::vector<int64_t> excluded;
  int64_t width = 0;
  [[nodiscard]] kernels::ScanInput<T> input() const { return part(0, static_cast<int64_t>(blocks.size())); }
  [[nodiscard]] kernels::ScanInput<T> part(int64_t begin, int64_t end) const {
    return {.queries = queries.data() + begin * width,
            .keys = keys.data(),
            .width = width,
            .scale = T(0.7),
            .blocks = std::span(blocks).subspan(begin, end - begin),
            .excluded = excluded};
  }
};

template <class T>
Stream<T> random_stream(const StreamShape& shape, std::mt19937& random) {
  std::normal_distribution<double> normal;
  Stream<T> out;
  out.width = shape.width, out.excluded = shape.excluded;
  int64_t first_key = 0;
  for (size_t n = 0; n < shape.lengths.size(); ++n) {
    const int64_t length = shape.lengths[n], b = shape.block;
    for (int64_t i0 = 0; i0 < length; i0 += b) {
      kernels::ScanBlock block{.sample = shape.first_sample + n,
                               .first_key = first_key,
                               .index = i0 / b,
                               .group = shape.share == 0 ? 0 : i0 / shape.share};
      block.left_end = std::max<int64_t>(0, i0 - shape.window);
      block.right_begin = shape.causal ? i0 + 1 : std::min(i0 + b + shape.window, length);
      block.right_end = shape.causal ? i0 + 1 : length;
      out.blocks.push_back(block);
    }
    first_key += length;
  }
  out.keys.resize(first_key * shape.width), out.queries.resize(out.blocks.size() * shape.width);
  for (T& x : out.keys) x = static_cast<T>(normal(random));
  for (T& x : out.queries) x = static_cast<T>(normal(random));
  return out;
}

}  // namespace smartbird::reference
