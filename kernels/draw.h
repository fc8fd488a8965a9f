// Pass B: which keys each query block and pick head attends. Output in CSR lists, keys ascending.
//   poisson     key j iff log u_jh < log π_ij, π_ij = min(1, K · max((1-ε) p_ij, ε/|E_i|)), p_ij = exp(s_ij - lse_i);
//               u_jh = one uniform per (sample, share group, head, position), the same for all blocks of the group
//   systematic  with C_j = Σ_{j' <= j} π_ij' (double, ascending): key j iff some integer + u_h lies in (C_{j-1}, C_j],
//               u_h = frac(u + h/heads), u per (sample, share group); inclusion probability exactly π_ij
//   gumbel      the K largest of log w_ij - log(-log u_jh), w_ij = max((1-ε) p_ij, ε/|E_i|): K keys exactly; with κ the
//               largest that is left out, π_ij = 1 - exp(-w_ij exp(-κ))
//   iid         K draws with replacement from p' = (1-ε) p_ij + ε/|E_i|; a key that comes c times is one pick whose log π is
//               log(K p' / c), which may be positive
//   topk        the K largest scores, ties to the smaller position; log π = 0
//   bigbird     the first K / 2 keys of E, and of the others those with the smallest u_jh of sample 0: K keys; log π = 0
//   uniform     poisson with p_ij = 1/|E_i|;  none: no picks
//   oracle      is not drawn here (src/ops/exact_picks.h)
// A block with |E| <= K takes all of E with log π = 0. Everything is decided alone or in a fixed order, so the picks are
// the same bits for any thread count and any split of the blocks over calls and ranks.
// Random numbers: Philox, key = `key`, counter = (sample, group, layer · 65536 + head / 4, position), word head % 4;
// Purpose::Draw. Positions are below 2^31.
#pragma once

#include <cstdint>
#include <vector>

#include "core/philox.h"
#include "core/raw_vector.h"
#include "kernels/sketch_scan.h"

namespace smartbird::kernels {

enum class DrawMode { Poisson, Systematic, Gumbel, Iid, TopK, BigBird, Uniform, None, Oracle };

struct DrawOptions {
  DrawMode mode = DrawMode::Poisson;
  int64_t picks = 0;   // K
  double floor = 0.1;  // ε
  bool fill = false;   // poisson, systematic: lse is that of filled_scan.h
  int heads = 1;       // pick heads
  int layer = 0;       // number of the draw: of its sketch, or with attention.redraw = layer of its layer
  PhiloxKey key;
};

template <class T>
struct Picks {
  std::vector<int64_t> start{0};  // [Q · heads + 1]: list of (block, head) at block · heads + head
  RawVector<int32_t> key;         // position in the block's sequence
  RawVector<T> log_pi;            // log inclusion probability, <= 0 but for iid
};

// Appends the lists of the blocks of `input` to `picks` (whose start grows by Q · heads entries). lse [Q] from
// scan_for_draw (filled_scan.h).
template <class T>
void draw(const ScanInput<T>& input, const double* lse, const DrawOptions& options, Picks<T>& picks);

// The uniform of a key (the definition, shared with whoever has to know it).
[[nodiscard]] inline double draw_uniform(PhiloxKey key, uint64_t sample, int64_t group, int layer, int head,
                                         int64_t position) {
  key.high ^= static_cast<uint32_t>(sample >> 32);
  const PhiloxCounter words = philox({static_cast<uint32_t>(sample), static_cast<uint32_t>(group),
                                      static_cast<uint32_t>(layer * 65536 + head / 4), static_cast<uint32_t>(position)},
                                     key);
  return uniform(words[static_cast<size_t>(head % 4)]);
}

}  // namespace smartbird::kernels
