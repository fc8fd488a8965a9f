// The random numbers of one leaf and share group, and which keys of a leaf may be picked: key j is picked in head h iff
// x_j > log2 u_jh. Bounds of log2 u decide nearly every pair; who lies between them pays for the logarithm.
#pragma once

#include <vector>

#include "core/philox.h"
#include "hwy/aligned_allocator.h"
#include "kernels/score_rows.h"

namespace smartbird::kernels {

// below <= log2 u <= below + kThresholdGap for every pair: log2(2^e (1+f)) = e + f + 0.3447 f (1-f) ± 0.0075.
inline constexpr double kThresholdGap = 0.017;

// Whose numbers: Philox counters (sample, group, layer · 65536 + head, first + j).
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

template <class T>
struct Thresholds {
  explicit Thresholds(int heads)
      : bits(static_cast<size_t>(heads * kLeafKeys)),
        below(hwy::AllocateAligned<T>(static_cast<size_t>((heads + 1) * kLeafKeys))),
        num_heads(heads) {}
  std::vector<uint32_t> bits;            // [heads, 128]
  hwy::AlignedFreeUniquePtr<T[]> below;  // [heads + 1, 128], the last row: the smallest over heads
  int num_heads = 0;
  [[nodiscard]] const T* lowest() const { return below.get() + num_heads * kLeafKeys; }
};

template <class T>
void fill_thresholds(const ThresholdOf& of, Thresholds<T>& out);

// x_j = max(s_j + shift, least); bit j of mask [2] says that x_j > lowest[j].
template <class T>
void find_candidates(const T* s, T shift, T least, const T* lowest, uint64_t* mask);

}  // namespace smartbird::kernels
