// Pieces of the draw (draw.h): the log inclusion probability, the uniforms of a leaf, and what each mode does with one
// piece of blocks. Internal to the CPU draw.
#pragma once

#include <limits>

#include "kernels/draw.h"
#include "kernels/score_panel.h"

namespace smartbird::kernels {

// One pick: list = (block - piece.begin) · heads + head. Picks of a list come in ascending keys.
template <class T>
struct Drawn {
  int64_t list = 0, key = 0;
  T log_pi = 0;
};

// log π = min(0, max(s + shift, least)) in T, shift = log(K(1-ε)) - lse, least = log(Kε/|E|), both formed in double.
template <class T>
struct Inclusion {
  T shift = 0, least = 0;
  Inclusion(const DrawOptions& options, double lse, int64_t domain) {
    const double k = static_cast<double>(options.picks);
    shift = static_cast<T>(std::log(k * (1 - options.floor)) - lse);
    least = static_cast<T>(std::log(k * options.floor / static_cast<double>(domain)));
  }
  [[nodiscard]] T operator()(T score) const {
    const T x = score + shift, y = x > least ? x : least;
    return y < T{0} ? y : T{0};
  }
};

// Bits of the uniforms of positions first .. first + 127: uniform(bits[j]) == draw_uniform(..., first + j).
void draw_bits(const DrawOptions& options, const ScanBlock& block, int head, int64_t first, uint32_t* bits);

// Each appends the picks of the blocks of `piece` that have |E| = domain[block] > K; lse and domain by block of the call.
template <class T>
void draw_poisson(const ScanInput<T>& input, const Piece& piece, const double* lse, const int64_t* domain,
                  const DrawOptions& options, std::vector<Drawn<T>>& out);
template <class T>
void draw_uniform_keys(const ScanInput<T>& input, const Piece& piece, const int64_t* domain, const DrawOptions& options,
                       std::vector<Drawn<T>>& out);
template <class T>
void draw_systematic(const ScanInput<T>& input, const Piece& piece, const double* lse, const int64_t* domain,
                     const DrawOptions& options, std::vector<Drawn<T>>& out);
template <class T>
void draw_topk(const ScanInput<T>& input, const Piece& piece, const int64_t* domain, const DrawOptions& options,
               std::vector<Drawn<T>>& out);

}  // namespace smartbird::kernels
