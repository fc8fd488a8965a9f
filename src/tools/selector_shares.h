// How much of a query block's exact attention in its sampled domain E a choice of K keys holds, and how it differs from other
// choices: pure arithmetic on one head of one block.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace smartbird {

// In the units of a. K >= |E|: all of it.
struct Shares {
  double sketch =
      0;  // Σ a π, π the inclusion probability of the Poisson draw (kernels/draw.h): what its picks hold on average
  double topk = 0;     // in the K keys that the sketch scores highest, ties to the smaller position
  double uniform = 0;  // K / |E| of it
  double oracle = 0;   // in the K keys where a itself is largest: no choice holds more
  double keys = 0;     // not of a: Σ π, how many keys the draw has on average; at most K
  void add(const Shares& other);
};

class BlockShares {
 public:
  // a [|E|] >= 0: exact attention, summed over the block's rows. s [|E|]: the sketch's scores. floor: ε of the draw; fill:
  // whether it fills its budget (kernels/filled_scan.h).
  BlockShares(std::span<const double> a, std::span<const double> s, double floor, bool fill);
  [[nodiscard]] Shares caught(int64_t picks) const;
  // Expected share of the K keys where a is largest that the Poisson draw, or the sketch's K best, has.
  [[nodiscard]] double recall(int64_t picks) const;
  [[nodiscard]] double recall_of_topk(int64_t picks) const;

 private:
  // By key.
  [[nodiscard]] std::vector<double> inclusion(int64_t picks) const;
  std::span<const double> a_;
  double floor_, mass_ = 0;
  bool fill_;
  std::vector<double> log_p_;                 // log softmax of s
  std::vector<uint32_t> by_score_, by_mass_;  // keys, best first
};

// exp of the entropy of a/Σa: over how many keys it is spread. 0 where Σa is.
[[nodiscard]] double effective_keys(std::span<const double> a);

}  // namespace smartbird
