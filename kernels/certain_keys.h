// The scores of each of some rows that a budget may take with certainty, and what all others sum to, as leaves of 128 keys come by.
// With B = budget and left_r = Σ 2^s of all keys but the r likeliest, the key of rank r is certain if and only if
// (B - r) 2^s > left_r. More keys only raise r and left_r: a key that cannot be certain among those seen so far never will be, nor
// will any that is less likely. So few are kept, and most leaves hold nothing above what is already hopeless. The others are
// summed by themselves, not as what the kept ones lack of all: however little they share, it is known to rounding.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/aligned_array.h"
#include "kernels/score_sum.h"

namespace smartbird::kernels {

// What some rows keep, in the order of the keys: [rows, room], of which `count` [rows] are in use.
template <class T>
struct KeptScores {
  int64_t room = 0;
  T* score = nullptr;
  int32_t* count = nullptr;
  T* hopeless = nullptr;     // [rows] no key of such a score or a smaller one is certain
  ScoreSum* rest = nullptr;  // [rows] of the keys that are not kept
};

// Appends what exceeds `hopeless` in a leaf, s [count, 128] aligned to 64 bytes, and takes it out there (-inf); the rest is summed.
// sums [count]: as of reduce_leaves. Each row has room for 144 more.
template <class T>
void keep_hopeful(T* s, const LeafSum* sums, int64_t count, const KeptScores<T>& rows);
// Drops what row 0 cannot take with certainty of a budget above 1; the row has room for 15 more than it keeps. Of those left, rounding
// apart, there are no more than the budget.
template <class T>
void drop_hopeless(double budget, const KeptScores<T>& row);

template <class T>
class CertainKeys {
 public:
  // budget: above 1; longest: keys of a row, at most.
  CertainKeys(int64_t rows, double budget, int64_t longest);
  // Of memory.
  [[nodiscard]] static int64_t bytes(int64_t rows, double budget, int64_t longest);
  // Nothing of the row is kept.
  void leave_out(int64_t row) { hopeless_[static_cast<size_t>(row)] = std::numeric_limits<T>::infinity(); }
  // The rows [row, row + count) and one leaf, as of keep_hopeful.
  void add(int64_t row, int64_t count, T* s, const LeafSum* sums);
  // The scores left of a row; every certain key is among them.
  [[nodiscard]] std::span<const T> of(int64_t row);
  // After that: what the row's other keys sum to, and a score that none of them exceeds.
  [[nodiscard]] const ScoreSum& rest(int64_t row) const { return rest_[static_cast<size_t>(row)]; }
  [[nodiscard]] T hopeless(int64_t row) const { return hopeless_[static_cast<size_t>(row)]; }

 private:
  [[nodiscard]] static int64_t most(double budget, int64_t longest);  // that a row keeps from one leaf to the next
  [[nodiscard]] static int64_t room(double budget, int64_t longest);
  [[nodiscard]] KeptScores<T> from(int64_t row);

  double budget_;
  int64_t most_, room_;
  AlignedArray<T> score_;
  std::vector<int32_t> count_;
  std::vector<T> hopeless_;
  std::vector<ScoreSum> rest_;
};

}  // namespace smartbird::kernels
