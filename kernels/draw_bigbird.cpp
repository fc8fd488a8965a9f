// A pattern that no weight moves (after Zaheer et al., "Big Bird", 2020): the first K / 2 keys of E and as many others as make K,
// those with the smallest numbers of the block, the same in every sequence. No correction: log π = 0.
#include "kernels/draw_parts.h"

namespace smartbird::kernels {

template <class T>
void draw_bigbird(const PieceWalk<T>& walk, const int64_t* domain, const DrawOptions& options, PieceLists<T>& out) {
  const ScanInput<T>& input = walk.input;
  const Piece& piece = walk.piece();
  const int64_t first_keys = options.picks / 2, others = options.picks - first_keys;
  std::vector<std::pair<double, int64_t>> rest;  // number, key
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    if (domain[i] <= options.picks || options.picks == 0) continue;
    const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
    for (int head = 0; head < options.heads; ++head) {
      const int64_t list = (i - piece.begin) * options.heads + head;
      int64_t before = 0;
      rest.clear();
      for_domain(block, input.excluded, [&](int64_t key) {
        if (before++ < first_keys) return out.append(list, key, T{0});
        rest.emplace_back(draw_uniform(options.key, 0, block.group, options.layer, head, key), key);
      });
      std::nth_element(rest.begin(), rest.begin() + others - 1, rest.end());
      rest.resize(static_cast<size_t>(others));
      std::sort(rest.begin(), rest.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
      for (const auto& [number, key] : rest) out.append(list, key, T{0});
    }
  }
}

template void draw_bigbird<float>(const PieceWalk<float>&, const int64_t*, const DrawOptions&, PieceLists<float>&);
template void draw_bigbird<double>(const PieceWalk<double>&, const int64_t*, const DrawOptions&, PieceLists<double>&);

}  // namespace smartbird::kernels
