// Σ 2^s of scores as sum · 2^exponent with a whole exponent: leaves are combined by exact powers of two, and nothing overflows.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/reduce_leaves.h"

namespace smartbird::kernels {

struct ScoreSum {
  double exponent = -std::numeric_limits<double>::infinity(), sum = 0;
};

// 2^by of a whole by <= 0; 0 where that is below the smallest normal number.
inline double power_of_two(double by) {
  if (!(by >= -1022)) return 0;
  return std::bit_cast<double>(static_cast<uint64_t>(static_cast<int64_t>(by) + 1023) << 52);
}

inline void add_leaf(ScoreSum& all, const LeafSum& leaf) {
  if (leaf.sum == 0) return;
  if (leaf.exponent > all.exponent) {
    all.sum *= power_of_two(all.exponent - leaf.exponent);
    all.exponent = leaf.exponent;
  }
  all.sum += leaf.sum * power_of_two(leaf.exponent - all.exponent);
}

// Natural; -inf of nothing.
inline double log_of(const ScoreSum& all) { return (all.exponent + std::log2(all.sum)) * 0.6931471805599453; }

}  // namespace smartbird::kernels
