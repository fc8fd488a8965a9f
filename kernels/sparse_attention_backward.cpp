// Sparse attention backward on the CPU: each tile forms P and dz of its lanes once and from them grad_q, and adds to the
// units it reads, for its band and its picks or, where rows shall leave early, for one of them. Tiles of one key/value head
// go in ascending rows, so that a unit's sum is one chain over its rows in order, whatever the threads: deterministic, no
// atomics. Where there are few such heads the rows are cut into a few parts, each with sums of its own that are added up in
// order.
//   P = exp(z - lse), dz = P (do·v - Δ), Δ = do·o;  dq += dz k · scale, dk += dz q · scale, dv += P do
#include <omp.h>

#include <algorithm>
#include <limits>

#include "kernels/aligned_array.h"
#include "kernels/key_rows.h"
#include "kernels/list_math.h"
#include "kernels/pick_list.h"
#include "kernels/tile_math.h"

namespace smartbird::kernels {
namespace {

template <class T>
struct Backward {
  const AttentionInput<T>& input;
  const T *o, *lse, *grad_o;
  T *grad_q, *grad_kv;
  TileKeys<T> keys;
  AlignedBuffer<T> q_lanes, grad_lanes, o_lanes, z, dp;
  KeyRows<T> key_rows;
  std::vector<T*> grad_rows;

  Backward(const AttentionInput<T>& in, const T* out, const T* row_lse, const T* grad_out, T* to_q, T* to_kv)
      : input(in), o(out), lse(row_lse), grad_o(grad_out), grad_q(to_q), grad_kv(to_kv) {}

  // The lanes of a tile.
  const T *q[kTileLanes], *grad[kTileLanes], *out[kTileLanes];
  T* to[kTileLanes];
  LaneGradient<T> lane_gradient;

  void begin(const Tile& tile) {
    const int64_t count = tile.lanes(), width = input.width;
    for (int64_t lane = 0; lane < kTileLanes; ++lane) {
      lane_gradient.lse[lane] = std::numeric_limits<T>::infinity();
      if (lane >= count) continue;
      const int64_t at = tile.row(lane) * input.heads + tile.head + lane % tile.heads;
      q[lane] = input.q + at * width, grad[lane] = grad_o + at * width, to[lane] = grad_q + at * width;
      out[lane] = o + at * width;
      if (lse[at] != -std::numeric_limits<T>::infinity()) lane_gradient.lse[lane] = lse[at];
    }
    const size_t size = static_cast<size_t>(width * kTileLanes);
    transpose_lanes<T>(q, count, width, q_lanes.reserve(size));
    transpose_lanes<T>(grad, count, width, grad_lanes.reserve(size));
    transpose_lanes<T>(out, count, width, o_lanes.reserve(size));
    dot_lanes<T>(grad_lanes.data(), o_lanes.data(), width, lane_gradient.delta);
  }

  void find_gradients(const int32_t* unit, int64_t count) {
    grad_rows.clear();
    for (int64_t i = 0; i < count; ++i) grad_rows.push_back(grad_kv + unit[i] * 2 * input.width);
  }

  // Adds what `keys` give to the gradients of the tile's lanes and of the units.
  void add(const Tile& tile) {
    const int64_t width = input.width, size = keys.size();
    const T* const* rows = key_rows.find(input, keys.unit.data(), size);
    find_gradients(keys.unit.data(), size);
    for (T* row : grad_rows)
      for (int64_t line = 0; line < 2 * width; line += 64 / static_cast<int64_t>(sizeof(T)))
        __builtin_prefetch(row + line, 1, 2);
    T *p = z.reserve(static_cast<size_t>(size * kTileLanes)), *dz = dp.reserve(static_cast<size_t>(size * kTileLanes));
    score_keys<T>(rows, 0, size, width, q_lanes.data(), p);
    score_keys<T>(rows, width, size, width, grad_lanes.data(), dz);
    softmax_gradient<T>(size, input.scale, keys.bias.data(), lane_gradient, p, dz);
    mix_keys<T>(dz, rows, 0, size, width, tile.lanes(), to);
    spread_lanes<T>(dz, q, tile.lanes(), 0, size, width, grad_rows.data());
    spread_lanes<T>(p, grad, tile.lanes(), width, size, width, grad_rows.data());
  }

  // The same for the picks of a tile, list by list.
  void add_lists(const Tile& tile) {
    const int64_t width = input.width;
    for_lists(input, tile, [&](int64_t first, int64_t last, int64_t list) {
      const PickList<T> picks(input, list);
      const size_t size = static_cast<size_t>(list_room(picks.size));
      T *p = z.reserve(size), *dz = dp.reserve(size);
      const T* const* rows = key_rows.find(input, picks.unit, picks.size);
      find_gradients(picks.unit, picks.size);
      for (int64_t lane = first; lane < last; ++lane) {
        steps_ahead(picks.size, kListStep, picks.next, input, 0,
                    [&](int64_t key, int64_t count) { score_list<T>(rows + key, 0, count, width, q[lane], p + key); });
        steps_ahead(picks.size, kListStep, picks.next, input, 1, [&](int64_t key, int64_t count) {
          score_list<T>(rows + key, width, count, width, grad[lane], dz + key);
        });
        softmax_list_gradient<T>(picks.size, input.scale, picks.log_pi, lane_gradient.lse[lane],
                                 lane_gradient.delta[lane], p, dz);
        steps_ahead(picks.size, kListStep, picks.next, grad_kv, 2 * width, 2 * width, [&](int64_t key, int64_t count) {
          mix_list<T>(dz + key, rows + key, 0, count, width, to[lane]);
          spread_list<T>(dz + key, q[lane], 0, count, width, grad_rows.data() + key);
          spread_list<T>(p + key, grad[lane], width, count, width, grad_rows.data() + key);
        });
      }
    });
  }
};

enum class Part { Picks, Band, Both };

// Adds what a part of the tiles of runs [begin, end) gives to one key/value head.
template <class T>
void add_runs(Backward<T>& backward, Part part, const std::vector<int64_t>& cuts, int64_t g, size_t begin, size_t end) {
  const AttentionInput<T>& input = backward.input;
  const int64_t heads = tile_heads(input), sets = input.heads / input.kv_heads / heads;
  for (size_t run = begin; run < end; ++run)
    for (int64_t set = 0; set < sets; ++set) {
      const Tile tile{static_cast<int64_t>(run), cuts[run], cuts[run + 1], (g * sets + set) * heads, heads};
      backward.begin(tile);
      if (part != Part::Picks) {
        band_keys(input, tile, backward.keys);
        backward.add(tile);
      }
      if (part == Part::Band || input.pick_heads == 0) continue;
      if (walk_of(input, tile) == Walk::Lists) {
        backward.add_lists(tile);
        continue;
      }
      pick_keys(input, tile, backward.keys);
      backward.add(tile);
    }
}

// Tasks that there are at least, for threads to share; more cost memory. And pieces of each, between which the calling thread
// may do something else.
constexpr int64_t kTasks = 4, kPieces = 8;

// Adds a part to grad_q and to the first `units` of grad_kv, the only ones that it reads.
template <class T>
void add_part(const AttentionInput<T>& input, Part part, int64_t units, const T* o, const T* lse, const T* grad_o,
              T* grad_q, T* grad_kv, const std::function<void()>& now_and_then) {
  const std::vector<int64_t> cuts = tile_rows(input);
  const int64_t runs = static_cast<int64_t>(cuts.size()) - 1, size = units * 2 * input.width,
                parts =
                    std::clamp<int64_t>((kTasks + input.kv_heads - 1) / input.kv_heads, 1, std::max<int64_t>(runs, 1));
  const auto others = aligned_array<T>(static_cast<size_t>((parts - 1) * size + 1));  // sums of all parts but the first
  T* other = others.get();
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (parts - 1) * size; i += 2 * input.width) std::fill_n(other + i, 2 * input.width, T{0});
    Backward<T> backward(input, o, lse, grad_o, grad_q, grad_kv);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < input.kv_heads * parts; ++task) {
      const int64_t of = task % parts, first = runs * of / parts, count = runs * (of + 1) / parts - first;
      backward.grad_kv = of == 0 ? grad_kv : other + (of - 1) * size;
      for (int64_t piece = 0; piece < kPieces; ++piece) {
        add_runs(backward, part, cuts, task / parts, static_cast<size_t>(first + count * piece / kPieces),
                 static_cast<size_t>(first + count * (piece + 1) / kPieces));
        if (now_and_then && omp_get_thread_num() == 0) now_and_then();
      }
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (parts > 1 ? size : 0); ++i)
      for (int64_t of = 1; of < parts; ++of) grad_kv[i] += other[(of - 1) * size + i];
  }
}

template <class T>
void fill_zero(T* x, int64_t rows, int64_t width) {
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; ++row) std::fill_n(x + row * width, width, T{0});
}

template <class T>
void begin_with(Part part, const AttentionInput<T>& input, const T* o, const T* lse, const T* grad_o, T* grad_q,
                T* grad_kv) {
  fill_zero(grad_q, input.rows * input.heads, input.width);
  fill_zero(grad_kv, input.units, 2 * input.width);
  add_part(input, part, input.units, o, lse, grad_o, grad_q, grad_kv, {});
}

}  // namespace

template <class T>
void attention_backward(const AttentionInput<T>& input, const T* o, const T* lse, const T* grad_o, T* grad_q,
                        T* grad_kv) {
  begin_with(Part::Both, input, o, lse, grad_o, grad_q, grad_kv);
}

template <class T>
void attention_backward_picks(const AttentionInput<T>& input, const T* o, const T* lse, const T* grad_o, T* grad_q,
                              T* grad_kv) {
  begin_with(Part::Picks, input, o, lse, grad_o, grad_q, grad_kv);
}

template <class T>
void attention_backward_band(const AttentionInput<T>& input, const T* o, const T* lse, const T* grad_o, T* grad_q,
                             T* grad_kv, const std::function<void()>& now_and_then) {
  const int64_t units = std::min(input.units, input.slots * input.kv_heads);
  add_part(input, Part::Band, units, o, lse, grad_o, grad_q, grad_kv, now_and_then);
}

template void attention_backward<float>(const AttentionInput<float>&, const float*, const float*, const float*, float*,
                                        float*);
template void attention_backward<double>(const AttentionInput<double>&, const double*, const double*, const double*,
                                         double*, double*);
using NowAndThen = std::function<void()>;
template void attention_backward_picks<float>(const AttentionInput<float>&, const float*, const float*, const float*,
                                              float*, float*);
template void attention_backward_picks<double>(const AttentionInput<double>&, const double*, const double*,
                                               const double*, double*, double*);
template void attention_backward_band<float>(const AttentionInput<float>&, const float*, const float*, const float*,
                                             float*, float*, const NowAndThen&);
template void attention_backward_band<double>(const AttentionInput<double>&, const double*, const double*,
                                              const double*, double*, double*, const NowAndThen&);

}  // namespace smartbird::kernels
