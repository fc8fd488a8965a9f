// Which keys of a leaf are picked, nearly without branches: first the keys that some head may pick are collected for a few
// rows, then their heads are found. Key j is picked in head h iff x_j > log2 u_jh, x_j = max(s_j + shift, least).
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/thresholds.h"

namespace smartbird::kernels {

// Consecutive rows of one share group and what log π of each is made of.
template <class T>
struct CandidateRows {
  int64_t rows = 0;                            // at most kScoreRows
  const T* s = nullptr;                        // [rows, 128] scores of one leaf
  const T *shift = nullptr, *least = nullptr;  // [rows]
  const uint64_t* allowed = nullptr;           // [rows, 2] bits of the keys that may be picked; nullptr: all
};

template <class T>
struct DrawnPick {
  int32_t key;
  T log_pi;
};

// Where picks go: list row · heads + h begins at pick + list · room, ends at count[list] and has room for a leaf more.
template <class T>
struct OpenLists {
  int32_t* count = nullptr;
  DrawnPick<T>* pick = nullptr;
  int64_t room = 0;
};

// A thread's scratch. What is stored some at a time has room for what that stores for nothing.
template <class T>
struct Candidates {
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  static constexpr int64_t kAtOnce = 4, kPairs = 512;
  int64_t count = 0;
  std::array<int32_t, kScoreRows * kLeafKeys + kAtOnce> at;  // row · 128 + key
  std::array<DrawnPick<T>, kScoreRows * kLeafKeys> pick;     // what a list gets that takes the candidate
  std::array<Index, kPairs + kHeadsAside> candidate, list;   // who takes whom
};

// Appends the picks of the rows in the leaf of the thresholds, log π = min(x_j, 0) · ln 2; lists: of the first row.
template <class T>
void pick_rows(const CandidateRows<T>& rows, const Thresholds<T>& thresholds, Candidates<T>& scratch,
               const OpenLists<T>& lists);

}  // namespace smartbird::kernels
