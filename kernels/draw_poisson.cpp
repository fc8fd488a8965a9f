// Poisson sampling with permanent random numbers: key j is picked iff log π_ij > log u_jh. The numbers of a leaf are made
// once per share group; bounds of log u decide nearly every pair, only the rest pays for a logarithm.
#include "kernels/domain_bits.h"
#include "kernels/draw_parts.h"
#include "kernels/thresholds.h"

namespace smartbird::kernels {
namespace {

// Leaves that the blocks of a piece walk together: their random numbers wait for the next blocks of a share group.
int64_t leaves_together(int heads) { return std::max(1, 32 / heads); }

// The draw of one piece; lse [blocks of the piece], domain by block of the call.
template <class T>
class Poisson {
 public:
  Poisson(const ScanInput<T>& input, const Piece& piece, const double* lse, const int64_t* domain,
          const DrawOptions& options, PieceLists<T>& out)
      : input_(input), piece_(piece), domain_(domain), options_(options), out_(out) {
    for (int64_t leaf = 0; leaf < leaves_together(options.heads); ++leaf) thresholds_.emplace_back(options.heads);
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      const Inclusion<T> pi(options, lse[i - piece.begin], domain[i]);
      shift_.push_back(pi.shift), least_.push_back(pi.least);
    }
  }

  // Whether a block draws at all; a small domain is taken whole.
  [[nodiscard]] bool draws(int64_t i) const { return domain_[i] > options_.picks; }

  // Appends the picks of the blocks [begin, end), at most kScoreRows, in one leaf; s [end - begin, 128].
  void rows(int64_t begin, int64_t end, int64_t first, const T* s) {
    for (int64_t i = begin; i < end;) {
      const ScanBlock& block = input_.blocks[static_cast<size_t>(i)];
      int64_t next = i + 1;
      while (next < end && input_.blocks[static_cast<size_t>(next)].group == block.group) ++next;
      Thresholds<T>& thresholds = thresholds_[static_cast<size_t>(first / kLeafKeys) % thresholds_.size()];
      fill_thresholds({options_.key, block.sample, block.group, options_.layer, first}, thresholds);
      const size_t row = static_cast<size_t>(i - piece_.begin);
      uint64_t bits[2 * kScoreRows];
      const uint64_t* allowed = allowed_bits(
          input_, i, next, first, [&](int64_t of) { return draws(of); }, bits);
      pick_rows({next - i, s + (i - begin) * kLeafKeys, &shift_[row], &least_[row], allowed}, thresholds, candidates_,
                out_.reserve((i - piece_.begin) * options_.heads, (next - i) * options_.heads, kLeafKeys));
      i = next;
    }
  }

 private:
  const ScanInput<T>& input_;
  const Piece& piece_;
  const int64_t* domain_;
  const DrawOptions& options_;
  PieceLists<T>& out_;
  std::vector<T> shift_, least_;  // of each block of the piece
  std::vector<Thresholds<T>> thresholds_;
  Candidates<T> candidates_;
};

}  // namespace

template <class T>
void draw_poisson(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                  PieceLists<T>& out) {
  if (options.picks == 0) return;  // π = 0
  Poisson<T> poisson(walk.input, walk.piece(), lse + walk.piece().begin, domain, options, out);
  walk.leaf_rows(
      leaves_together(options.heads), [&](int64_t i) { return poisson.draws(i); },
      [&](int64_t begin, int64_t end, int64_t first, const T* s) { poisson.rows(begin, end, first, s); });
}

template <class T>
void draw_uniform_keys(const PieceWalk<T>& walk, const int64_t* domain, const DrawOptions& options,
                       PieceLists<T>& out) {
  if (options.picks == 0) return;
  const Piece& piece = walk.piece();
  std::vector<double> lse;  // score 0: p = 1/|E|
  for (int64_t i = piece.begin; i < piece.end; ++i) lse.push_back(std::log(static_cast<double>(domain[i])));
  Poisson<T> poisson(walk.input, piece, lse.data(), domain, options, out);
  alignas(64) T zero[kScoreRows * kLeafKeys] = {};
  int64_t end = 0;
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    const ScanBlock& b = walk.input.blocks[static_cast<size_t>(i)];
    if (poisson.draws(i)) end = std::max({end, b.left_end, b.right_end});
  }
  for (int64_t first = 0; first < end; first += kLeafKeys)
    for (int64_t i = piece.begin; i < piece.end; i += kScoreRows)
      poisson.rows(i, std::min(i + kScoreRows, piece.end), first, zero);
}

template void draw_poisson<float>(const PieceWalk<float>&, const double*, const int64_t*, const DrawOptions&,
                                  PieceLists<float>&);
template void draw_poisson<double>(const PieceWalk<double>&, const double*, const int64_t*, const DrawOptions&,
                                   PieceLists<double>&);
template void draw_uniform_keys<float>(const PieceWalk<float>&, const int64_t*, const DrawOptions&, PieceLists<float>&);
template void draw_uniform_keys<double>(const PieceWalk<double>&, const int64_t*, const DrawOptions&,
                                        PieceLists<double>&);

}  // namespace smartbird::kernels
