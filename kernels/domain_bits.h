// Which keys of a leaf of 128 a block may pick, as bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/score_panel.h"

namespace smartbird::kernels {

// Sets the bits of the positions [begin, end) that lie in the leaf at `first`.
inline void set_range(int64_t begin, int64_t end, int64_t first, uint64_t* bits) {
  const auto below = [](int64_t n) { return n <= 0 ? uint64_t{0} : n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; };
  for (int64_t word = 0; word < 2; ++word, first += 64) bits[word] |= below(end - first) & ~below(begin - first);
}

// Bits [2] of the keys of the leaf at `first` that lie in the block's domain.
inline void domain_bits(const ScanBlock& block, std::span<const int64_t> excluded, int64_t first, uint64_t* bits) {
  bits[0] = bits[1] = 0;
  set_range(block.left_begin, block.left_end, first, bits);
  set_range(block.right_begin, block.right_end, first, bits);
  const auto end = std::lower_bound(excluded.begin(), excluded.end(), first + kLeafKeys);
  for (auto e = std::lower_bound(excluded.begin(), excluded.end(), first); e != end; ++e)
    bits[(*e - first) / 64] &= ~(uint64_t{1} << ((*e - first) % 64));
}

// Bits [end - begin, 2] of what the blocks [begin, end) may pick in the leaf at `first`, written to `bits`, none for a block
// without draws(block); nullptr where each may pick all of it.
template <class T, class Draws>
[[nodiscard]] const uint64_t* allowed_bits(const ScanInput<T>& input, int64_t begin, int64_t end, int64_t first,
                                           Draws draws, uint64_t* bits) {
  bool all = input.excluded.empty();
  for (int64_t i = begin; i < end && all; ++i)
    all = draws(i) && covers_leaf(input.blocks[static_cast<size_t>(i)], first);
  if (all) return nullptr;
  for (int64_t i = begin; i < end; ++i) {
    uint64_t* of = bits + 2 * (i - begin);
    of[0] = of[1] = 0;
    if (draws(i)) domain_bits(input.blocks[static_cast<size_t>(i)], input.excluded, first, of);
  }
  return bits;
}

}  // namespace smartbird::kernels
