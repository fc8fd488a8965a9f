// Gumbel top-k (Kool, van Hoof and Welling, 2019): the K keys with the largest log w + G, G = -log(-log u), an exact number of
// distinct keys. Given κ, the largest value that is left out, key j is picked with probability π = 1 - exp(-w exp(-κ)).
#include "kernels/draw_parts.h"

namespace smartbird::kernels {
namespace {

struct Perturbed {
  double value, log_weight;
  int64_t key;
};

// The largest values that were seen, in any order.
class Largest {
 public:
  void add(const Perturbed& one, size_t wanted) {
    if (all_.size() >= 2 * wanted + kSpare) cut(wanted);
    all_.push_back(one);
  }
  // The `wanted` largest; the smallest of them comes last.
  std::vector<Perturbed>& cut(size_t wanted) {
    const auto last = all_.begin() + static_cast<int64_t>(wanted);
    if (last < all_.end()) {
      std::nth_element(all_.begin(), last - 1, all_.end(), larger);
      all_.resize(wanted);
    }
    return all_;
  }
  static bool larger(const Perturbed& a, const Perturbed& b) {
    return a.value != b.value ? a.value > b.value : a.key < b.key;
  }

 private:
  static constexpr size_t kSpare = 1024;
  std::vector<Perturbed> all_;
};

}  // namespace

template <class T>
void draw_gumbel(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                 PieceLists<T>& out) {
  if (options.picks == 0) return;
  const ScanInput<T>& input = walk.input;
  const Piece& piece = walk.piece();
  const size_t wanted = static_cast<size_t>(options.picks) + 1;
  std::vector<Largest> of_list(static_cast<size_t>((piece.end - piece.begin) * options.heads));
  walk.leaves([&](int64_t i) { return domain[i] > options.picks; },
              [&](int64_t i, int64_t first, const T* s) {
                const ScanBlock& block = input.blocks[static_cast<size_t>(i)];
                const Inclusion<T> inclusion(options, lse[i], domain[i]);
                for (int64_t j = 0; j < kLeafKeys; ++j) {
                  const int64_t key = first + j;
                  if (!in_ranges(block, key) || is_excluded(input.excluded, key)) continue;
                  const double log_weight = static_cast<double>(inclusion.log2_weight(s[j])) * kLn2;
                  for (int head = 0; head < options.heads; ++head) {
                    const double u = draw_uniform(options.key, block.sample, block.group, options.layer, head, key);
                    of_list[static_cast<size_t>((i - piece.begin) * options.heads + head)].add(
                        {log_weight - std::log(-std::log(u)), log_weight, key}, wanted);
                  }
                }
              });
  for (size_t list = 0; list < of_list.size(); ++list) {
    if (domain[piece.begin + static_cast<int64_t>(list) / options.heads] <= options.picks) continue;
    std::vector<Perturbed>& found = of_list[list].cut(wanted);
    std::nth_element(found.begin(), found.end() - 1, found.end(), Largest::larger);
    const double kappa = found.back().value;
    found.pop_back();
    std::sort(found.begin(), found.end(), [](const Perturbed& a, const Perturbed& b) { return a.key < b.key; });
    for (const Perturbed& one : found)
      out.append(static_cast<int64_t>(list), one.key,
                 static_cast<T>(std::log(-std::expm1(-std::exp(one.log_weight - kappa)))));
  }
}

template void draw_gumbel<float>(const PieceWalk<float>&, const double*, const int64_t*, const DrawOptions&,
                                 PieceLists<float>&);
template void draw_gumbel<double>(const PieceWalk<double>&, const double*, const int64_t*, const DrawOptions&,
                                  PieceLists<double>&);

}  // namespace smartbird::kernels
