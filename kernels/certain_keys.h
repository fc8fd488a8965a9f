// The scores of each of some rows that a budget may take with certainty, as leaves of 128 keys come by. With B = budget and
// left_r = Σ 2^s of all keys but the r likeliest, the key of rank r is certain if and only if (B - r) 2^s > left_r. More keys only
// raise r and left_r: a key that cannot be certain among those seen so far never will be, nor will any that is less likely. So few
// are kept, and most leaves hold nothing above what is already hopeless.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/aligned_array.h"
#include "kernels/reduce_leaves.h"

namespace smartbird::kernels {

// Σ 2^s of a row's keys so far: sum · 2^exponent.
struct ScoreSum {
  double exponent = -std::numeric_limits<double>::infinity(), sum = 0;
};

// What some rows keep, in the order of the keys: [rows, room], of which `count` [rows] are in use.
template <class T>
struct KeptScores {
  int64_t room = 0;
  T* score = nullptr;
  int32_t* count = nullptr;
  T* hopeless = nullptr;  // [rows] no key of such a score or a smaller one is certain
};

// By which a sum of 2^s may err, of all: rounded scores and their sum.
template <class T>
inline constexpr double kScoreSumError = sizeof(T) == 4 ? 1e-6 : 1e-14;

// Appends what exceeds `hopeless` in a leaf, s [count, 128] aligned to 64 bytes, sums [count] as of reduce_leaves; each row has room
// for 144 more.
template <class T>
void keep_hopeful(const T* s, const LeafSum* sums, int64_t count, const KeptScores<T>& rows);
// Drops what row 0 cannot take with certainty of a budget above 1, having seen keys of that sum. `room` rounded up to 16 elements of
// scratch; the row has room for 15 more than it keeps. Of those left, rounding apart, there are no more than the budget.
template <class T>
void drop_hopeless(double budget, const ScoreSum& all, const KeptScores<T>& row, T* scratch);

template <class T>
class CertainKeys {
 public:
  // budget: above 1; longest: keys of a row, at most.
  CertainKeys(int64_t rows, double budget, int64_t longest);
  // Of memory.
  [[nodiscard]] static int64_t bytes(int64_t rows, double budget, int64_t longest);
  // Nothing of the row counts.
  void leave_out(int64_t row) { hopeless_[static_cast<size_t>(row)] = std::numeric_limits<T>::infinity(); }
  // The rows [row, row + count) and one leaf, as of keep_hopeful; all [count]: with this leaf.
  void add(int64_t row, int64_t count, const T* s, const LeafSum* sums, const ScoreSum* all);
  // The scores left of a row; every certain key is among them.
  [[nodiscard]] std::span<const T> of(int64_t row, const ScoreSum& all);
  // No other key's score exceeds it.
  [[nodiscard]] T hopeless(int64_t row) const { return hopeless_[static_cast<size_t>(row)]; }

 private:
  [[nodiscard]] static int64_t most(double budget, int64_t longest);  // that a row keeps from one leaf to the next
  [[nodiscard]] static int64_t room(double budget, int64_t longest);
  [[nodiscard]] KeptScores<T> from(int64_t row);

  double budget_;
  int64_t most_, room_;
  AlignedArray<T> score_, scratch_;
  std::vector<int32_t> count_;
  std::vector<T> hopeless_;
};

}  // namespace smartbird::kernels
