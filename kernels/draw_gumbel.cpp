// Gumbel top-k (Kool, van Hoof and Welling, 2019): the K keys with the largest log w + G, G = -log(-log u), an exact number of
// distinct keys. Given κ, the largest value that is left out, key j is picked with probability π = 1 - exp(-w exp(-κ)). Values
// are formed in base 2 and compared in T.
#include "kernels/domain_bits.h"
#include "kernels/draw_parts.h"
#include "kernels/largest.h"

namespace smartbird::kernels {
namespace {

// G / ln 2 of a leaf for all heads of a share group of one sequence, made when another leaf or group is asked for.
template <class T>
class Noise {
 public:
  explicit Noise(const DrawOptions& options)
      : options_(options), noise_(static_cast<size_t>(options.heads * kLeafKeys)) {}

  [[nodiscard]] double of(const ScanBlock& block, int head, int64_t key) const {
    const double u = draw_uniform(options_.key, block.sample, block.group, options_.layer, head, key);
    return -std::log2(-std::log(u));
  }
  // [heads, 128].
  [[nodiscard]] const T* leaf(const ScanBlock& block, int64_t first) {
    if (group_ == block.group && first_ == first) return noise_.data();
    group_ = block.group, first_ = first;
    for (int head = 0; head < options_.heads; ++head)
      for (int64_t j = 0; j < kLeafKeys; ++j)
        noise_[static_cast<size_t>(head * kLeafKeys + j)] = static_cast<T>(of(block, head, first + j));
    return noise_.data();
  }

 private:
  const DrawOptions& options_;
  std::vector<T> noise_;
  int64_t group_ = 0, first_ = -1;  // nothing yet
};

}  // namespace

template <class T>
void draw_gumbel(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                 PieceLists<T>& out) {
  const Piece& piece = walk.piece();
  const int64_t longest = *std::max_element(domain + piece.begin, domain + piece.end);
  if (options.picks == 0 || longest <= options.picks) return;
  const auto draws = [&](int64_t i) { return domain[i] > options.picks; };
  LargestOfRows<T> largest((piece.end - piece.begin) * options.heads, options.picks + 1, longest);
  Noise<T> noise(options);
  alignas(64) T value[kLeafKeys];
  walk.leaf_rows(1, draws, [&](int64_t begin, int64_t end, int64_t first, const T* s) {
    for (int64_t i = begin; i < end; ++i, s += kLeafKeys) {
      const ScanBlock& block = walk.input.blocks[static_cast<size_t>(i)];
      if (!draws(i) || !meets_leaf(block, first)) continue;
      const Inclusion<T> inclusion(options, lse[i], domain[i]);
      const T* of_head = noise.leaf(block, first);
      uint64_t bits[2];
      const uint64_t* allowed = allowed_bits(walk.input, i, i + 1, first, draws, bits);
      for (int64_t head = 0; head < options.heads; ++head, of_head += kLeafKeys) {
        for (int64_t j = 0; j < kLeafKeys; ++j) value[j] = inclusion.log2_weight(s[j]) + of_head[j];
        largest.add((i - piece.begin) * options.heads + head, {1, value, first, allowed});
      }
    }
  });
  for (int64_t list = 0; list < (piece.end - piece.begin) * options.heads; ++list) {
    const int64_t i = piece.begin + list / options.heads;
    if (!draws(i)) continue;
    const auto keys = largest.of(list);
    size_t left_out = 0;  // the worst of K + 1; among equals the last, which moves no probability
    for (size_t k = 1; k < keys.size(); ++k)
      if (largest.score(list, k) <= largest.score(list, left_out)) left_out = k;
    const double kappa = static_cast<double>(largest.score(list, left_out));
    for (size_t k = 0; k < keys.size(); ++k) {
      if (k == left_out) continue;
      const double log2_weight =
          static_cast<double>(largest.score(list, k)) -
          noise.of(walk.input.blocks[static_cast<size_t>(i)], static_cast<int>(list % options.heads), keys[k]);
      out.append(list, keys[k], static_cast<T>(std::log(-std::expm1(-std::exp2(log2_weight - kappa)))));
    }
  }
}

template void draw_gumbel<float>(const PieceWalk<float>&, const double*, const int64_t*, const DrawOptions&,
                                 PieceLists<float>&);
template void draw_gumbel<double>(const PieceWalk<double>&, const double*, const int64_t*, const DrawOptions&,
                                  PieceLists<double>&);

}  // namespace smartbird::kernels
