// Sparse attention forward on the CPU: tiles of 16 lanes walk the union of their keys (attention_tile.h); logits and mixes
// are matrix products over gathered rows, masked by the bias.
#include "kernels/sparse_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/key_rows.h"
#include "kernels/list_math.h"
#include "kernels/pick_list.h"
#include "kernels/tile_math.h"

namespace smartbird::kernels {
namespace {

// One thread's tile and what it needs to go through the keys of a part.
template <class T>
struct Forward {
  const AttentionInput<T>& input;
  T *m, *l, *acc;
  TileKeys<T> keys;
  AlignedBuffer<T> lanes, z;
  KeyRows<T> key_rows;

  Forward(const AttentionInput<T>& in, T* max, T* sum, T* mixed) : input(in), m(max), l(sum), acc(mixed) {}

  // Adds `keys` to the state of the tile's lanes; next: what the next tile takes.
  void add(const Tile& tile, UnitSpan next) {
    if (keys.size() == 0) return;
    const int64_t count = tile.lanes(), width = input.width;
    const T* q[kTileLanes];
    T* out[kTileLanes];
    int64_t at[kTileLanes];
    LaneState<T> state;
    std::fill_n(state.max, kTileLanes, -std::numeric_limits<T>::infinity());
    std::fill_n(state.sum, kTileLanes, T{0});
    for (int64_t lane = 0; lane < count; ++lane) {
      at[lane] = tile.row(lane) * input.heads + tile.head + lane % tile.heads;
      q[lane] = input.q + at[lane] * width, out[lane] = acc + at[lane] * width;
      state.max[lane] = m[at[lane]], state.sum[lane] = l[at[lane]];
    }
    const T* const* rows = key_rows.find(input, keys.unit.data(), keys.size());
    T *columns = lanes.reserve(static_cast<size_t>(width * kTileLanes)),
      *logits = z.reserve(static_cast<size_t>(keys.size() * kTileLanes));
    alignas(64) T keep[kTileLanes];
    transpose_lanes<T>(q, count, width, columns);
    steps_ahead(keys.size(), kTileStep, next, input, 0, [&](int64_t key, int64_t n) {
      score_keys<T>(rows + key, 0, n, width, columns, logits + key * kTileLanes);
    });
    softmax_keys<T>(keys.size(), input.scale, keys.bias.data(), logits, state, keep);
    for (int64_t lane = 0; lane < count; ++lane) {
      for (int64_t d = 0; d < width; ++d) out[lane][d] *= keep[lane];
      m[at[lane]] = state.max[lane], l[at[lane]] = state.sum[lane];
    }
    steps_ahead(keys.size(), kTileStep, next, input, 1, [&](int64_t key, int64_t n) {
      mix_keys<T>(logits + key * kTileLanes, rows + key, width, n, width, count, out);
    });
  }

  // Adds the picks of the tile's rows to their state, list by list.
  void add_lists(const Tile& tile) {
    const int64_t width = input.width;
    for_lists(input, tile, [&](int64_t first, int64_t last, int64_t list) {
      const PickList<T> picks(input, list);
      T* logits = z.reserve(static_cast<size_t>(list_room(picks.size)));
      const T* const* rows = key_rows.find(input, picks.unit, picks.size);
      for (int64_t lane = first; lane < last; ++lane) {
        const int64_t at = tile.row(lane) * input.heads + tile.head + lane % tile.heads;
        steps_ahead(picks.size, kListStep, picks.next, input, 0, [&](int64_t key, int64_t count) {
          score_list<T>(rows + key, 0, count, width, input.q + at * width, logits + key);
        });
        const T keep = softmax_list<T>(picks.size, input.scale, picks.log_pi, logits, m[at], l[at]);
        for (int64_t d = 0; d < width; ++d) acc[at * width + d] *= keep;
        steps_ahead(picks.size, kListStep, picks.next, input, 1, [&](int64_t key, int64_t count) {
          mix_list<T>(logits + key, rows + key, width, count, width, acc + at * width);
        });
      }
    });
  }
};

// add(forward, tile, next tile) adds the part of a tile; the last tile is its own next.
template <class T, class Add>
void attention_part(const AttentionInput<T>& input, Add add, T* m, T* l, T* acc) {
  const std::vector<int64_t> cuts = tile_rows(input);
  const int64_t heads = tile_heads(input), sets = input.heads / heads, tiles = static_cast<int64_t>(cuts.size()) - 1;
  const auto tile = [&](int64_t i) {
    const size_t run = static_cast<size_t>(i / sets);
    return Tile{i / sets, cuts[run], cuts[run + 1], i % sets * heads, heads};
  };
#pragma omp parallel
  {
    Forward<T> forward(input, m, l, acc);
#pragma omp for schedule(dynamic, 8)
    for (int64_t i = 0; i < tiles * sets; ++i) add(forward, tile(i), tile(std::min(i + 1, tiles * sets - 1)));
  }
}

}  // namespace

template <class T>
void attention_begin(int64_t rows, int heads, int width, T* m, T* l, T* acc) {
  std::fill(m, m + rows * heads, -std::numeric_limits<T>::infinity());
  std::fill(l, l + rows * heads, T{0});
  std::fill(acc, acc + rows * heads * width, T{0});
}

template <class T>
void attention_band(const AttentionInput<T>& input, T* m, T* l, T* acc) {
  const auto add = [&](Forward<T>& forward, const Tile& tile, const Tile&) {
    band_keys(input, tile, forward.keys);
    forward.add(tile, {});
  };
  attention_part(input, add, m, l, acc);
}

template <class T>
void attention_picks(const AttentionInput<T>& input, T* m, T* l, T* acc) {
  if (input.pick_heads == 0) return;
  const auto add = [&](Forward<T>& forward, const Tile& tile, const Tile& next) {
    if (walk_of(input, tile) != Walk::Union) return forward.add_lists(tile);
    pick_keys(input, tile, forward.keys);
    forward.add(tile, united_picks(input, next));
  };
  attention_part(input, add, m, l, acc);
}

template <class T>
void attention_finish(int64_t rows, int heads, int width, const T* m, const T* l, const T* acc, T* o, T* lse) {
#pragma omp parallel for
  for (int64_t at = 0; at < rows * heads; ++at) {
    const T inverse = l[at] > T{0} ? T{1} / l[at] : T{0};
    for (int64_t d = 0; d < width; ++d) o[at * width + d] = acc[at * width + d] * inverse;
    lse[at] = l[at] > T{0} ? m[at] + std::log(l[at]) : -std::numeric_limits<T>::infinity();
  }
}

template void attention_begin<float>(int64_t, int, int, float*, float*, float*);
template void attention_begin<double>(int64_t, int, int, double*, double*, double*);
template void attention_band<float>(const AttentionInput<float>&, float*, float*, float*);
template void attention_band<double>(const AttentionInput<double>&, double*, double*, double*);
template void attention_picks<float>(const AttentionInput<float>&, float*, float*, float*);
template void attention_picks<double>(const AttentionInput<double>&, double*, double*, double*);
template void attention_finish<float>(int64_t, int, int, const float*, const float*, const float*, float*, float*);
template void attention_finish<double>(int64_t, int, int, const double*, const double*, const double*, double*,
                                       double*);

}  // namespace smartbird::kernels
