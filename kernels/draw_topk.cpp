// The K largest sketch scores of each block, ties to the smaller position, the same for every head; no correction.
// A NaN score ranks last.
#include "kernels/draw_parts.h"

namespace smartbird::kernels {
namespace {

constexpr int64_t kKept = 4096;  // candidates of a block before the hopeless ones are dropped

}  // namespace

template <class T>
void draw_topk(const PieceWalk<T>& walk, const int64_t* domain, const DrawOptions& options, PieceLists<T>& out) {
  if (options.picks == 0) return;
  struct Candidate {
    T score;
    int64_t key;
  };
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.key < b.key;
  };
  const ScanInput<T>& input = walk.input;
  const Piece& piece = walk.piece();
  std::vector<std::vector<Candidate>> of_block(static_cast<size_t>(piece.end - piece.begin));
  const auto cut = [&](std::vector<Candidate>& candidates) {
    std::nth_element(candidates.begin(), candidates.begin() + options.picks, candidates.end(), better);
    candidates.resize(static_cast<size_t>(options.picks));
  };
  walk.leaves([&](int64_t i) { return domain[i] > options.picks; },
              [&](int64_t i, int64_t first, const T* s) {
                const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
                std::vector<Candidate>& candidates = of_block[static_cast<size_t>(i - piece.begin)];
                for (int64_t j = 0; j < kLeafKeys; ++j)
                  if (in_ranges(block, first + j) && !is_excluded(input.excluded, first + j))
                    candidates.push_back({std::isnan(s[j]) ? -std::numeric_limits<T>::infinity() : s[j], first + j});
                if (static_cast<int64_t>(candidates.size()) > 2 * options.picks + kKept) cut(candidates);
              });
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    if (domain[i] <= options.picks) continue;
    std::vector<Candidate>& candidates = of_block[static_cast<size_t>(i - piece.begin)];
    cut(candidates);
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.key < b.key; });
    for (int64_t h = 0; h < options.heads; ++h)
      for (const Candidate& c : candidates) out.append((i - piece.begin) * options.heads + h, c.key, T{0});
  }
}

template void draw_topk<float>(const PieceWalk<float>&, const int64_t*, const DrawOptions&, PieceLists<float>&);
template void draw_topk<double>(const PieceWalk<double>&, const int64_t*, const DrawOptions&, PieceLists<double>&);

}  // namespace smartbird::kernels
