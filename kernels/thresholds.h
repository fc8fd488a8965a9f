// The random numbers of one leaf and share group, as bounds of their logarithms that decide nearly every pick; who lies
// between them pays for the logarithm.
#pragma once

#include "core/philox.h"
#include "kernels/aligned_array.h"
#include "kernels/score_rows.h"

namespace smartbird::kernels {

// below <= log2 u <= below + kThresholdGap for every pair: log2(2^e (1+f)) = e + f + 0.3447 f (1-f) ± 0.0075.
inline constexpr double kThresholdGap = 0.017;

// Whose numbers: Philox counters (sample, group, layer · 65536 + head / 4, first + j), word head % 4.
struct ThresholdOf {
  PhiloxKey key;
  uint64_t sample = 0;
  int64_t group = 0;
  int layer = 0;
  int64_t first = 0;  // position of the leaf
  [[nodiscard]] bool operator==(const ThresholdOf& other) const {
    return sample == other.sample && group == other.group && first == other.first;
  }
};

// Eight heads of a key lie side by side: [⌈heads / 8⌉, 128, 8]; heads beyond the last have below = +inf.
inline constexpr int64_t kHeadsAside = 8;
template <class T>
struct Thresholds {
  explicit Thresholds(int heads)
      : num_heads(heads), below(aligned_array<T>(at((heads + kHeadsAside - 1) / kHeadsAside * kHeadsAside, 0))) {}
  [[nodiscard]] static size_t at(int64_t head, int64_t j) {
    return static_cast<size_t>((head / kHeadsAside * kLeafKeys + j) * kHeadsAside + head % kHeadsAside);
  }
  int num_heads;
  ThresholdOf of = {{}, 0, 0, 0, -1};  // nothing yet
  AlignedArray<T> below;
  AlignedArray<T> lowest = aligned_array<T>(kLeafKeys);  // [128]: the smallest over heads
};

// Makes the numbers of `of`; nothing to do if `out` holds them.
template <class T>
void fill_thresholds(const ThresholdOf& of, Thresholds<T>& out);

// Exactly: x > log2 of the uniform of a pair, rounded to T.
template <class T>
[[nodiscard]] bool exceeds_uniform(T x, const ThresholdOf& of, int64_t head, int64_t j);

}  // namespace smartbird::kernels
