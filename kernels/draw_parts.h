// Pieces of the draw (draw.h): the log inclusion probability, the uniforms of a leaf, and what each mode does with one
// piece of blocks. Internal to the CPU draw.
#pragma once

#include <limits>

#include "kernels/draw.h"
#include "kernels/leaf_walk.h"
#include "kernels/piece_lists.h"

namespace smartbird::kernels {

// log2 π = min(0, max(s + shift, least)) in T, s in base 2: shift = log2(K(1-ε)) - log2 Σ, least = log2(Kε/|E|), both formed
// in double.
template <class T>
struct Inclusion {
  T shift = 0, least = 0;
  Inclusion(const DrawOptions& options, double lse, int64_t domain) {
    const double k = static_cast<double>(options.picks);
    shift = static_cast<T>(std::log2(k * (1 - options.floor)) - lse * kLog2E);
    least = static_cast<T>(std::log2(k * options.floor / static_cast<double>(domain)));
  }
  [[nodiscard]] T log2_pi(T score) const {
    const T y = log2_weight(score);
    return y < T{0} ? y : T{0};
  }
  // log2 of K max((1-ε) p, ε/|E|).
  [[nodiscard]] T log2_weight(T score) const {
    const T x = score + shift;
    return x > least ? x : least;
  }
  [[nodiscard]] static T natural(T log2_pi) { return log2_pi * static_cast<T>(kLn2); }
};

// A piece with the packed keys and the scratch of its thread.
template <class T>
struct PieceWalk {
  const ScanInput<T>& input;
  const PackedKeys<T>& packed;
  std::span<const Piece> pieces;
  size_t at = 0;
  T* scratch;
  [[nodiscard]] const Piece& piece() const { return pieces[at]; }
  // See for_leaves, for_leaf_rows.
  template <class Wanted, class Scores>
  void leaves(Wanted wanted, Scores scores) const {
    for_leaves(input, packed, pieces, at, scratch, wanted, scores);
  }
  template <class Wanted, class Scores>
  void leaf_rows(int64_t leaves, Wanted wanted, Scores scores) const {
    for_leaf_rows(input, packed, pieces, at, scratch, leaves, wanted, scores);
  }
};

// Each appends the picks of the blocks of `piece` that have |E| = domain[block] > K, ascending keys in each list, to list
// (block - piece.begin) · heads + head; lse and domain by block of the call.
template <class T>
void draw_poisson(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                  PieceLists<T>& out);
template <class T>
void draw_uniform_keys(const PieceWalk<T>& walk, const int64_t* domain, const DrawOptions& options, PieceLists<T>& out);
template <class T>
void draw_systematic(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                     PieceLists<T>& out);
template <class T>
void draw_gumbel(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                 PieceLists<T>& out);
template <class T>
void draw_iid(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
              PieceLists<T>& out);
template <class T>
void draw_bigbird(const PieceWalk<T>& walk, const int64_t* domain, const DrawOptions& options, PieceLists<T>& out);
template <class T>
void draw_topk(const PieceWalk<T>& walk, const int64_t* domain, const DrawOptions& options, PieceLists<T>& out);

}  // namespace smartbird::kernels
