// Poisson sampling with permanent random numbers: key j is picked iff log π_ij > log u_jh. The numbers of a leaf are made
// once per share group; bounds of log u decide nearly every pair, only the rest pays for a logarithm.
#include <bit>

#include "kernels/draw_parts.h"
#include "kernels/thresholds.h"

namespace smartbird::kernels {
namespace {

template <class T>
struct Poisson {
  const ScanInput<T>& input;
  const DrawOptions& options;
  std::vector<Drawn<T>>& out;
  Thresholds<T> thresholds{options.heads};
  ThresholdOf held{};  // first = -1: nothing yet

  Poisson(const ScanInput<T>& in, const DrawOptions& o, std::vector<Drawn<T>>& drawn)
      : input(in), options(o), out(drawn) {
    held.first = -1;
  }

  // Makes the random numbers of a leaf and share group anew only when either changes.
  void hold(const ScanBlock& block, int64_t first) {
    const ThresholdOf of{options.key, block.sample, block.group, options.layer, first};
    if (held == of) return;
    held = of;
    fill_thresholds(of, thresholds);
  }

  // log2 π of one pair, -1 > no pick.
  [[nodiscard]] bool picks(T x, int head, int64_t j) const {
    const T below = thresholds.below[static_cast<size_t>(head * kLeafKeys + j)];
    if (x <= below) return false;
    if (x > below + static_cast<T>(kThresholdGap)) return true;
    return x > static_cast<T>(std::log2(uniform(thresholds.bits[static_cast<size_t>(head * kLeafKeys + j)])));
  }

  // Appends the picks of one block in one leaf; list: of its head 0.
  void leaf(const ScanBlock& block, int64_t first, const T* s, const Inclusion<T>& pi, int64_t list) {
    hold(block, first);
    uint64_t mask[2];
    find_candidates(s, pi.shift, pi.least, thresholds.lowest(), mask);
    for (int64_t word = 0; word < 2; ++word)
      for (uint64_t left = mask[word]; left != 0; left &= left - 1) {
        const int64_t j = word * 64 + std::countr_zero(left);
        if (!in_ranges(block, first + j) || is_excluded(input.excluded, first + j)) continue;
        const T x = std::max(s[j] + pi.shift, pi.least);
        for (int head = 0; head < options.heads; ++head)
          if (picks(x, head, j)) out.push_back(drawn(list + head, first + j, pi.natural(std::min(x, T{0}))));
      }
  }
};

}  // namespace

template <class T>
void draw_poisson(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                  std::vector<Drawn<T>>& out) {
  if (options.picks == 0) return;  // π = 0
  const int64_t begin = walk.piece().begin;
  std::vector<Inclusion<T>> inclusion;
  for (int64_t i = begin; i < walk.piece().end; ++i) inclusion.emplace_back(options, lse[i], domain[i]);
  Poisson<T> poisson(walk.input, options, out);
  walk.leaves([&](int64_t i) { return domain[i] > options.picks; },
              [&](int64_t i, int64_t first, const T* s) {
                poisson.leaf(walk.input.blocks[static_cast<size_t>(i)], first, s,
                             inclusion[static_cast<size_t>(i - begin)], (i - begin) * options.heads);
              });
}

template <class T>
void draw_uniform_keys(const PieceWalk<T>& walk, const int64_t* domain, const DrawOptions& options,
                       std::vector<Drawn<T>>& out) {
  if (options.picks == 0) return;
  const ScanInput<T>& input = walk.input;
  const Piece& piece = walk.piece();
  Poisson<T> poisson(input, options, out);
  alignas(64) T zero[kLeafKeys] = {};
  int64_t end = 0;
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    const ScanBlock& b = input.blocks[static_cast<size_t>(i)];
    if (domain[i] > options.picks) end = std::max({end, b.left_end, b.right_end});
  }
  for (int64_t first = 0; first < end; first += kLeafKeys)
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
      if (domain[i] <= options.picks || !meets_leaf(block, first)) continue;
      const Inclusion<T> pi(options, std::log(static_cast<double>(domain[i])), domain[i]);  // score 0: p = 1/|E|
      poisson.leaf(block, first, zero, pi, (i - piece.begin) * options.heads);
    }
}

template void draw_poisson<float>(const PieceWalk<float>&, const double*, const int64_t*, const DrawOptions&,
                                  std::vector<Drawn<float>>&);
template void draw_poisson<double>(const PieceWalk<double>&, const double*, const int64_t*, const DrawOptions&,
                                   std::vector<Drawn<double>>&);
template void draw_uniform_keys<float>(const PieceWalk<float>&, const int64_t*, const DrawOptions&,
                                       std::vector<Drawn<float>>&);
template void draw_uniform_keys<double>(const PieceWalk<double>&, const int64_t*, const DrawOptions&,
                                        std::vector<Drawn<double>>&);

}  // namespace smartbird::kernels
