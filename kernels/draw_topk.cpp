// The K largest sketch scores of each block, ties to the smaller position, the same for every head; no correction.
// A NaN score ranks last.
#include "kernels/draw_parts.h"

namespace smartbird::kernels {

template <class T>
void draw_topk(const ScanInput<T>& input, const Piece& piece, const int64_t* domain, const DrawOptions& options,
               std::vector<Drawn<T>>& out) {
  if (options.picks == 0) return;
  struct Candidate {
    T score;
    int64_t key;
  };
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.key < b.key;
  };
  std::vector<Candidate> candidates;
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    if (domain[i] <= options.picks) continue;
    const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
    candidates.clear();
    for_leaves(
        input, Piece{i, i + 1}, [](int64_t) { return true; },
        [&](int64_t, int64_t first, const T* s) {
          for (int64_t j = 0; j < kLeafKeys; ++j)
            if (in_ranges(block, first + j) && !is_excluded(input.excluded, first + j))
              candidates.push_back({std::isnan(s[j]) ? -std::numeric_limits<T>::infinity() : s[j], first + j});
        });
    std::nth_element(candidates.begin(), candidates.begin() + options.picks, candidates.end(), better);
    candidates.resize(static_cast<size_t>(options.picks));
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.key < b.key; });
    for (int64_t h = 0; h < options.heads; ++h)
      for (const Candidate& c : candidates) out.push_back({(i - piece.begin) * options.heads + h, c.key, T{0}});
  }
}

template void draw_topk<float>(const ScanInput<float>&, const Piece&, const int64_t*, const DrawOptions&,
                               std::vector<Drawn<float>>&);
template void draw_topk<double>(const ScanInput<double>&, const Piece&, const int64_t*, const DrawOptions&,
                                std::vector<Drawn<double>>&);

}  // namespace smartbird::kernels
