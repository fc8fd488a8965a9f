// Pass B on the CPU: cuts the blocks into pieces, draws each piece alone and lays the lists out in order.
#include "kernels/draw.h"

#include <omp.h>

#include "kernels/draw_parts.h"

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
    case DrawMode::TopK: return draw_topk(walk, domain, options, out);
    case DrawMode::None: return;
  }
}

}  // namespace

template <class T>
void draw(const ScanInput<T>& input, const double* lse, const DrawOptions& options, Picks<T>& picks) {
  const int64_t blocks = static_cast<int64_t>(input.blocks.size());
  std::vector<int64_t> domain(input.blocks.size());
  for (int64_t i = 0; i < blocks; ++i)
    domain[static_cast<size_t>(i)] = domain_size(input.blocks[static_cast<size_t>(i)], input.excluded);
  const std::vector<Piece> pieces = cut_pieces(input.blocks, kPieceBlocks);
  std::vector<PieceLists<T>> lists_of_thread(static_cast<size_t>(omp_get_max_threads()));
  std::vector<DrawnLists<T>> drawn(pieces.size());
  if (options.mode != DrawMode::None)
    for_pieces(input, pieces, kPieceBlocks, [&](const PackedKeys<T>& packed, size_t at, ScoreScratch<T>& scratch) {
      PieceLists<T>& mine = lists_of_thread[static_cast<size_t>(omp_get_thread_num())];
      draw_piece(PieceWalk<T>{input, packed, pieces, at, scratch}, lse, domain.data(), options, mine);
      drawn[at] = mine.packed();
    });

  const size_t lists = picks.start.size() - 1;
  picks.start.resize(lists + static_cast<size_t>(blocks * options.heads) + 1, picks.start.back());
  int64_t* start = picks.start.data() + lists;  // start[0] is where the new lists begin
  for (size_t i = 0; i < pieces.size(); ++i)
    std::copy(drawn[i].count.begin(), drawn[i].count.end(), start + pieces[i].begin * options.heads + 1);
  if (options.mode == DrawMode::None) std::fill_n(start + 1, blocks * options.heads, 0);
  for (int64_t i = 0; i < blocks * options.heads; ++i) start[i + 1] += start[i];
  picks.key.resize(static_cast<size_t>(start[blocks * options.heads]));
  picks.log_pi.resize(picks.key.size());
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < static_cast<int64_t>(pieces.size()); ++i) {
    DrawnLists<T>& piece = drawn[static_cast<size_t>(i)];
    const int64_t to = start[pieces[static_cast<size_t>(i)].begin * options.heads];
    std::copy(piece.key.begin(), piece.key.end(), picks.key.data() + to);
    std::copy(piece.log_pi.begin(), piece.log_pi.end(), picks.log_pi.data() + to);
    piece = {};
  }
}

template void draw<float>(const ScanInput<float>&, const double*, const DrawOptions&, Picks<float>&);
template void draw<double>(const ScanInput<double>&, const double*, const DrawOptions&, Picks<double>&);

}  // namespace smartbird::kernels
