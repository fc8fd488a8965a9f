// The K largest sketch scores of each block, ties to the smaller position, the same for every head; no correction.
// A NaN score ranks last.
#include "kernels/domain_bits.h"
#include "kernels/draw_parts.h"
#include "kernels/largest.h"

namespace smartbird::kernels {

template <class T>
void draw_topk(const PieceWalk<T>& walk, const int64_t* domain, const DrawOptions& options, PieceLists<T>& out) {
  if (options.picks == 0) return;
  const Piece& piece = walk.piece();
  const auto draws = [&](int64_t i) { return domain[i] > options.picks; };
  const int64_t longest = *std::max_element(domain + piece.begin, domain + piece.end);
  if (longest <= options.picks) return;
  LargestOfRows<T> largest(piece.end - piece.begin, options.picks, longest);
  walk.leaf_rows(1, draws, [&](int64_t begin, int64_t end, int64_t first, const T* s) {
    uint64_t bits[2 * kScoreRows];
    largest.add(begin - piece.begin, {end - begin, s, first, allowed_bits(walk.input, begin, end, first, draws, bits)});
  });
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    if (!draws(i)) continue;
    const auto best = largest.of(i - piece.begin);
    for (int64_t h = 0; h < options.heads; ++h)
      for (int32_t key : best) out.append((i - piece.begin) * options.heads + h, key, T{0});
  }
}

template void draw_topk<float>(const PieceWalk<float>&, const int64_t*, const DrawOptions&, PieceLists<float>&);
template void draw_topk<double>(const PieceWalk<double>&, const int64_t*, const DrawOptions&, PieceLists<double>&);

}  // namespace smartbird::kernels
