// Poisson sampling with permanent random numbers: key j is picked iff log π_ij > log u_jh. The numbers of a leaf are made
// once per share group; bounds of log u decide nearly every pair, only the rest pays for a logarithm.
#include "kernels/draw_parts.h"
#include "kernels/thresholds.h"

namespace smartbird::kernels {
namespace {

// Bits of the keys of a leaf that lie in the block's domain.
void domain_bits(const ScanBlock& block, std::span<const int64_t> excluded, int64_t first, uint64_t* bits) {
  bits[0] = bits[1] = ~uint64_t{0};
  if (!covers_leaf(block, first))
    for (int64_t j = 0; j < kLeafKeys; ++j)
      if (!in_ranges(block, first + j)) bits[j / 64] &= ~(uint64_t{1} << (j % 64));
  const auto end = std::lower_bound(excluded.begin(), excluded.end(), first + kLeafKeys);
  for (auto e = std::lower_bound(excluded.begin(), excluded.end(), first); e != end; ++e)
    bits[(*e - first) / 64] &= ~(uint64_t{1} << ((*e - first) % 64));
}

template <class T>
struct Poisson {
  const ScanInput<T>& input;
  const DrawOptions& options;
  PieceLists<T>& out;
  Thresholds<T> thresholds{options.heads};
  ThresholdOf held{};  // first = -1: nothing yet

  Poisson(const ScanInput<T>& in, const DrawOptions& o, PieceLists<T>& drawn) : input(in), options(o), out(drawn) {
    held.first = -1;
  }

  // Makes the random numbers of a leaf and share group anew only when either changes.
  void hold(const ScanBlock& block, int64_t first) {
    const ThresholdOf of{options.key, block.sample, block.group, options.layer, first};
    if (held == of) return;
    held = of;
    fill_thresholds(of, thresholds);
  }

  // Appends the picks of one block in one leaf; list: of its head 0.
  void leaf(const ScanBlock& block, int64_t first, const T* s, const Inclusion<T>& pi, int64_t list) {
    hold(block, first);
    uint64_t allowed[2];
    domain_bits(block, input.excluded, first, allowed);
    pick_leaf(s, pi.shift, pi.least, thresholds, allowed, first, out.reserve(list, options.heads, kLeafKeys));
  }
};

}  // namespace

template <class T>
void draw_poisson(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                  PieceLists<T>& out) {
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
                       PieceLists<T>& out) {
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
                                  PieceLists<float>&);
template void draw_poisson<double>(const PieceWalk<double>&, const double*, const int64_t*, const DrawOptions&,
                                   PieceLists<double>&);
template void draw_uniform_keys<float>(const PieceWalk<float>&, const int64_t*, const DrawOptions&, PieceLists<float>&);
template void draw_uniform_keys<double>(const PieceWalk<double>&, const int64_t*, const DrawOptions&,
                                        PieceLists<double>&);

}  // namespace smartbird::kernels
