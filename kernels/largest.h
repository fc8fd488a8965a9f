// The K largest scores of each of some rows, as leaves of 128 keys come by, ascending: what exceeds the K-th best so far is
// kept aside, and the hopeless are dropped whenever too many have come together. Ties go to the smaller position; a score
// that is NaN ranks with -inf.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/score_rows.h"

namespace smartbird::kernels {

// An integer for each score, in the scores' order: its bits, those of negative numbers turned round but for the sign.
template <class T>
using Rank = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
template <class R>
[[nodiscard]] inline R turned(R bits) {
  return bits ^ ((bits >> (8 * sizeof(R) - 1)) & std::numeric_limits<R>::max());
}
template <class T>
[[nodiscard]] inline Rank<T> rank_of(T score) {
  const T ordered = score == score ? score + T{0} : -std::numeric_limits<T>::infinity();  // -0 + 0 = 0
  return turned(std::bit_cast<Rank<T>>(ordered));
}
template <class T>
[[nodiscard]] inline T score_of(Rank<T> rank) {
  return std::bit_cast<T>(turned(rank));
}

// Consecutive rows and one leaf.
template <class T>
struct LeafScores {
  int64_t rows = 0;
  const T* s = nullptr;               // [rows, 128], aligned to 64 bytes
  int64_t first = 0;                  // position of the leaf
  const uint64_t* allowed = nullptr;  // [rows, 2] bits of the keys that count; nullptr: all
};

// What some rows have kept, ascending keys: [rows, room], of which `count` [rows] are in use.
template <class T>
struct KeptRows {
  int64_t room = 0;
  Rank<T>* rank = nullptr;
  int32_t *key = nullptr, *count = nullptr;
  T* above = nullptr;  // [rows] what a score must exceed to be kept; NaN: every one is
};

// Appends what the rows keep of a leaf; each has room for 128 more.
template <class T>
void keep_larger(const LeafScores<T>& leaf, const KeptRows<T>& rows);
// Drops all but the `wanted` best of row 0, which has no fewer, and sets what a score must exceed from now on. The row has room
// for 15 more than it keeps.
template <class T>
void keep_best(int64_t wanted, const KeptRows<T>& rows);

template <class T>
class LargestOfRows {
 public:
  // wanted: K, at least 1; longest: keys that count for a row, at most.
  LargestOfRows(int64_t rows, int64_t wanted, int64_t longest);
  // Of memory.
  [[nodiscard]] static int64_t bytes(int64_t rows, int64_t wanted, int64_t longest);
  // The rows from `row` on.
  void add(int64_t row, const LeafScores<T>& leaf);
  // The keys of the K largest of a row that had as many, ascending; nothing is added to it after that.
  [[nodiscard]] std::span<const int32_t> of(int64_t row);
  // Score of the i-th of them.
  [[nodiscard]] T score(int64_t row, size_t i) const;

 private:
  // That a row keeps from one leaf to the next: a search for the best drops half of them, or, of a few, enough to pay.
  [[nodiscard]] static int64_t most(int64_t wanted, int64_t longest) {
    return std::min(std::max(2 * wanted, wanted + 64), longest);
  }
  [[nodiscard]] static int64_t room(int64_t wanted, int64_t longest) { return most(wanted, longest) + kLeafKeys + 16; }
  [[nodiscard]] KeptRows<T> from(int64_t row);

  int64_t wanted_, most_, room_;
  std::vector<Rank<T>> rank_;
  std::vector<int32_t> key_, count_;
  std::vector<T> above_;
};

}  // namespace smartbird::kernels
