// The random numbers of one leaf and share group, and which keys of a leaf are picked: key j is picked in head h iff
// x_j > log2 u_jh. Bounds of log2 u decide nearly every pair; who lies between them pays for the logarithm.
#pragma once

#include <vector>

#include "core/philox.h"
#include "hwy/aligned_allocator.h"
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

// Four heads of a key lie side by side: [⌈heads / 4⌉, 128, 4]; heads beyond the last have below = +inf.
template <class T>
struct Thresholds {
  explicit Thresholds(int heads)
      : num_heads(heads),
        quads((heads + 3) / 4),
        bits(hwy::AllocateAligned<uint32_t>(static_cast<size_t>(quads * 4 * kLeafKeys))),
        below(hwy::AllocateAligned<T>(static_cast<size_t>(quads * 4 * kLeafKeys))),
        lowest(hwy::AllocateAligned<T>(static_cast<size_t>(kLeafKeys))) {}
  [[nodiscard]] static size_t at(int64_t head, int64_t j) {
    return static_cast<size_t>((head / 4 * kLeafKeys + j) * 4 + head % 4);
  }
  int num_heads, quads;
  hwy::AlignedFreeUniquePtr<uint32_t[]> bits;
  hwy::AlignedFreeUniquePtr<T[]> below, lowest;  // lowest [128]: the smallest over heads
};

template <class T>
void fill_thresholds(const ThresholdOf& of, Thresholds<T>& out);

template <class T>
struct DrawnPick {
  int32_t key;
  T log_pi;
};

// Where the picks of one block go: list h of `heads` begins at pick + h · room, ends at count[h] and has room for a leaf
// more.
template <class T>
struct BlockLists {
  int32_t* count = nullptr;  // [heads]
  DrawnPick<T>* pick = nullptr;
  int64_t room = 0;
};

// Appends the picks among the keys of the leaf at `first` whose bit of allowed [2] is set: x_j = max(s_j + shift, least),
// log π = min(x_j, 0) · ln 2.
template <class T>
void pick_leaf(const T* s, T shift, T least, const Thresholds<T>& thresholds, const uint64_t* allowed, int64_t first,
               const BlockLists<T>& lists);

// Exactly: x > log2 of the uniform of these bits, rounded to T.
template <class T>
[[nodiscard]] bool exceeds_uniform(T x, uint32_t bits);

}  // namespace smartbird::kernels
