// Pass B on the CPU: cuts the blocks into pieces, draws each piece alone and lays the lists out in order.
#include "kernels/draw.h"

#include <omp.h>

#include <utility>

#include "core/error.h"
#include "kernels/draw_needs.h"
#include "kernels/draw_parts.h"
#include "kernels/largest.h"

namespace smartbird::kernels {
namespace {

constexpr int64_t kPieceBlocks = 64;  // enough to share random numbers, small enough to balance threads

template <class T>
void take_all(const ScanInput<T>& input, const Piece& piece, const int64_t* domain, const DrawOptions& options,
              PieceLists<T>& out) {
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    if (domain[i] > options.picks) continue;
    for (int head = 0; head < options.heads; ++head)
      for_domain(input.blocks[static_cast<size_t>(i)], input.excluded,
                 [&](int64_t j) { out.append((i - piece.begin) * options.heads + head, j, T{0}); });
  }
}

// Room for K, what chance adds to it and a leaf that is being drawn, but not for much more keys than there are.
int64_t room_of(const Piece& piece, const int64_t* domain, const DrawOptions& options) {
  const double k = static_cast<double>(options.picks), expected = k + 3 * std::sqrt(k) + 8;
  const int64_t most = *std::max_element(domain + piece.begin, domain + piece.end);
  return std::min(most, static_cast<int64_t>(expected)) + kLeafKeys;
}

template <class T>
void draw_piece(const PieceWalk<T>& walk, const double* lse, const int64_t* domain, const DrawOptions& options,
                PieceLists<T>& out) {
  out.clear((walk.piece().end - walk.piece().begin) * options.heads, room_of(walk.piece(), domain, options));
  take_all(walk.input, walk.piece(), domain, options, out);
  switch (options.mode) {
    case DrawMode::Poisson: return draw_poisson(walk, lse, domain, options, out);
    case DrawMode::Uniform: return draw_uniform_keys(walk, domain, options, out);
    case DrawMode::Systematic: return draw_systematic(walk, lse, domain, options, out);
    case DrawMode::Gumbel: return draw_gumbel(walk, lse, domain, options, out);
    case DrawMode::Iid: return draw_iid(walk, lse, domain, options, out);
    case DrawMode::TopK: return draw_topk(walk, domain, options, out);
    case DrawMode::BigBird: return draw_bigbird(walk, domain, options, out);
    case DrawMode::None: return;
    case DrawMode::Oracle: fail(ErrorKind::Shape, "draw: the oracle does not draw from a sketch");
  }
}

// Where the lists of all pieces come to lie. Pieces arrive in order, so a piece is written to its place while others are
// still being drawn, as long as there is room; what finds none waits.
template <class T>
class Output {
 public:
  Output(Picks<T>& picks, size_t pieces, int64_t expected) : picks_(picks), end_(picks.key.size()), late_(pieces) {
    room_ = end_ + static_cast<size_t>(expected);
    picks_.key.resize(room_), picks_.log_pi.resize(room_);
  }
  // Called for one piece after the other: the place of `size` more picks.
  [[nodiscard]] size_t next(int64_t size) { return std::exchange(end_, end_ + static_cast<size_t>(size)); }
  // Called on any thread.
  void write(size_t piece, size_t at, PieceLists<T>& lists) {
    if (at + static_cast<size_t>(lists.size()) <= room_)
      lists.copy_to(picks_.key.data() + at, picks_.log_pi.data() + at);
    else
      late_[piece] = {at, std::exchange(lists, {})};
  }
  // After the last piece.
  void finish() {
    picks_.key.resize(end_), picks_.log_pi.resize(end_);
    for (const auto& [at, lists] : late_) lists.copy_to(picks_.key.data() + at, picks_.log_pi.data() + at);
  }

 private:
  Picks<T>& picks_;
  size_t end_, room_ = 0;
  std::vector<std::pair<size_t, PieceLists<T>>> late_;
};

// Picks that the lists of all blocks hardly ever exceed: every head of a block draws min(K, |E|) on average, the blocks of a
// share group alike.
int64_t expected_picks(const std::vector<int64_t>& domain, const DrawOptions& options) {
  double sum = 0;
  for (int64_t size : domain) sum += static_cast<double>(std::min(size, options.picks));
  return static_cast<int64_t>(1.25 * sum * options.heads);
}

}  // namespace

template <class T>
void draw(const ScanInput<T>& input, const double* lse, const DrawOptions& options, Picks<T>& picks) {
  const int64_t blocks = static_cast<int64_t>(input.blocks.size()), heads = options.heads;
  const size_t lists = picks.start.size() - 1;
  picks.start.resize(lists + static_cast<size_t>(blocks * heads) + 1, picks.start.back());
  if (options.mode == DrawMode::None) return;
  int64_t* count = picks.start.data() + lists + 1;  // of each new list, then where it ends
  std::vector<int64_t> domain;
  for (const ScanBlock& block : input.blocks) domain.push_back(domain_size(block, input.excluded));
  const std::vector<Piece> pieces = cut_pieces(input.blocks, kPieceBlocks);
  std::vector<PieceLists<T>> lists_of_thread(static_cast<size_t>(omp_get_max_threads()));
  Output<T> out(picks, pieces.size(), expected_picks(domain, options));
  for_pieces(input, pieces, [&](const PackedKeys<T>& packed, size_t at, T* scratch) {
    PieceLists<T>& mine = lists_of_thread[static_cast<size_t>(omp_get_thread_num())];
    draw_piece(PieceWalk<T>{input, packed, pieces, at, scratch}, lse, domain.data(), options, mine);
    std::copy(mine.count().begin(), mine.count().end(), count + pieces[at].begin * heads);
    size_t place = 0;
#pragma omp ordered
    place = out.next(mine.size());
    out.write(at, place, mine);
  });
  out.finish();
  for (int64_t i = 0; i < blocks * heads; ++i) count[i] += count[i - 1];
}

template <class T>
int64_t kept_bytes(const DrawOptions& o, int64_t longest) {
  if (longest <= o.picks) return 0;
  if (o.mode == DrawMode::TopK) return LargestOfRows<T>::bytes(kPieceBlocks, o.picks, longest);
  return o.mode == DrawMode::Gumbel ? LargestOfRows<T>::bytes(kPieceBlocks * o.heads, o.picks + 1, longest) : 0;
}

template int64_t kept_bytes<float>(const DrawOptions&, int64_t);
template int64_t kept_bytes<double>(const DrawOptions&, int64_t);
template void draw<float>(const ScanInput<float>&, const double*, const DrawOptions&, Picks<float>&);
template void draw<double>(const ScanInput<double>&, const double*, const DrawOptions&, Picks<double>&);

}  // namespace smartbird::kernels
