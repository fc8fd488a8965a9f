// K draws with replacement from p' = (1-ε) p + ε/|E|: numbers in ascending order against the cumulative K p', in double and in
// ascending positions. A key that comes c times is one pick with log(K p' / c) in place of log π: its weight is c / (K p').
#include "kernels/draw_parts.h"

namespace smartbird::kernels {

template <class T>
void draw_iid(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
              PieceLists<T>& out) {
  if (options.picks == 0) return;
  const ScanInput<T>& input = walk.input;
  const Piece& piece = walk.piece();
  const size_t heads = static_cast<size_t>(options.heads), blocks = static_cast<size_t>(piece.end - piece.begin);
  struct Numbers {
    std::vector<double> sorted;  // in (0, K)
    size_t next = 0;
  };
  std::vector<Numbers> of_list(blocks * heads);
  std::vector<double> total(blocks, 0.0);
  for (size_t list = 0; list < of_list.size(); ++list) {
    const int64_t i = piece.begin + static_cast<int64_t>(list / heads);
    if (domain[i] <= options.picks) continue;
    const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
    for (int64_t k = 0; k < options.picks; ++k)
      of_list[list].sorted.push_back(
          static_cast<double>(options.picks) *
          draw_uniform(options.key, block.sample, block.group, options.layer, static_cast<int>(list % heads), k));
    std::sort(of_list[list].sorted.begin(), of_list[list].sorted.end());
  }
  walk.leaves([&](int64_t i) { return domain[i] > options.picks; },
              [&](int64_t i, int64_t first, const T* s) {
                const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
                const Inclusion<T> inclusion(options, lse[i], domain[i]);
                const double flat = std::exp2(static_cast<double>(inclusion.least));
                const size_t at = static_cast<size_t>(i - piece.begin);
                for (int64_t j = 0; j < kLeafKeys; ++j) {
                  if (!in_ranges(block, first + j) || is_excluded(input.excluded, first + j)) continue;
                  const double expected = std::exp2(static_cast<double>(s[j] + inclusion.shift)) + flat;
                  total[at] += expected;
                  for (size_t list = at * heads; list < (at + 1) * heads; ++list) {
                    Numbers& numbers = of_list[list];
                    const size_t before = numbers.next;
                    while (numbers.next < numbers.sorted.size() && numbers.sorted[numbers.next] <= total[at])
                      ++numbers.next;
                    if (numbers.next > before)
                      out.append(static_cast<int64_t>(list), first + j,
                                 static_cast<T>(std::log(expected / static_cast<double>(numbers.next - before))));
                  }
                }
              });
}

template void draw_iid<float>(const PieceWalk<float>&, const double*, const int64_t*, const DrawOptions&,
                              PieceLists<float>&);
template void draw_iid<double>(const PieceWalk<double>&, const double*, const int64_t*, const DrawOptions&,
                               PieceLists<double>&);

}  // namespace smartbird::kernels
