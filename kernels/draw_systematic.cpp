// Systematic sampling: one uniform per (sample, share group), a comb of spacing 1 laid over the cumulative inclusion
// probabilities; key j is hit iff an integer + u_h lies in (C_{j-1}, C_j]. Sums are double, in ascending positions.
#include "kernels/draw_parts.h"

namespace smartbird::kernels {

template <class T>
void draw_systematic(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                     PieceLists<T>& out) {
  if (options.picks == 0) return;  // π = 0
  const ScanInput<T>& input = walk.input;
  const Piece& piece = walk.piece();
  const int64_t heads = options.heads;
  std::vector<double> offset(static_cast<size_t>((piece.end - piece.begin) * heads)), total(offset.size() / heads, 0.0);
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
    const double u = draw_uniform(options.key, block.sample, block.group, options.layer, 0, 0);
    for (int64_t h = 0; h < heads; ++h) {
      const double x = u + static_cast<double>(h) / static_cast<double>(heads);
      offset[static_cast<size_t>((i - piece.begin) * heads + h)] = x - std::floor(x);
    }
  }
  walk.leaves([&](int64_t i) { return domain[i] > options.picks; },
              [&](int64_t i, int64_t first, const T* s) {
                const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
                const Inclusion<T> pi(options, lse[i], domain[i]);
                double& sum = total[static_cast<size_t>(i - piece.begin)];
                for (int64_t j = 0; j < kLeafKeys; ++j) {
                  if (!in_ranges(block, first + j) || is_excluded(input.excluded, first + j)) continue;
                  const T log2_pi = pi.log2_pi(s[j]);
                  const double before = sum;
                  sum += std::exp2(static_cast<double>(log2_pi));
                  for (int64_t h = 0; h < heads; ++h) {
                    const double at = offset[static_cast<size_t>((i - piece.begin) * heads + h)];
                    if (std::floor(sum - at) > std::floor(before - at))
                      out.append((i - piece.begin) * heads + h, first + j, pi.natural(log2_pi));
                  }
                }
              });
}

template void draw_systematic<float>(const PieceWalk<float>&, const double*, const int64_t*, const DrawOptions&,
                                     PieceLists<float>&);
template void draw_systematic<double>(const PieceWalk<double>&, const double*, const int64_t*, const DrawOptions&,
                                      PieceLists<double>&);

}  // namespace smartbird::kernels
