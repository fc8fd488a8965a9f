// Random sparse attention problems with everything that may occur: queries that share kv heads, pick heads G or H, empty
// bands, empty lists, tokens that are elsewhere, picks of slots and of single units; and the same problem as dense pairs.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/pick_tiles.h"
#include "tests/reference/reference_attention.h"

namespace smartbird::reference {

struct AttentionShape {
  int64_t rows = 0, block = 1, window = 2;
  int heads = 1, kv_heads = 1, width = 1, pick_heads = 0;
};

template <class T>
struct AttentionCase {
  AttentionShape shape;
  int64_t units = 0, slots = 0;
  std::vector<T> q, kv, grad_o, log_pi;
  std::vector<int64_t> band_begin, band_end, row_block, pick_start{0};
  std::vector<int32_t> pick_unit, token_slot, pick_token;
  std::vector<uint16_t> kv_bfloat16{};  // stands for kv unless empty

  [[nodiscard]] kernels::AttentionInput<T> input() const {
    kernels::AttentionInput<T> in;
    in.rows = shape.rows, in.units = units, in.heads = shape.heads, in.kv_heads = shape.kv_heads,
    in.width = shape.width;
    in.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(shape.width)));
    in.q = q.data();
    if (kv_bfloat16.empty())
      in.kv = kv.data();
    else
      in.kv_bfloat16 = kv_bfloat16.data();
    in.band_begin = band_begin.data(), in.band_end = band_end.data();
    in.token_slot = token_slot.data(), in.num_tokens = static_cast<int64_t>(token_slot.size());
    in.slots = slots;
    in.blocks = (shape.rows + shape.block - 1) / shape.block, in.pick_heads = shape.pick_heads;
    in.row_block = row_block.data(), in.pick_start = pick_start.data(), in.pick_unit = pick_unit.data(),
    in.pick_token = pick_token.data();
    in.pick_log_pi = log_pi.data();
    return in;
  }

  [[nodiscard]] DenseAttention<T> dense() const {
    const auto in = input();
    DenseAttention<T> out{shape.rows, shape.heads, units, shape.width, in.scale, q, kv, {}, {}};
    out.on.assign(shape.rows * shape.heads * units, 0);
    out.log_pi.assign(out.on.size(), 0);
    for (int64_t row = 0; row < shape.rows; ++row)
      for (int64_t h = 0; h < shape.heads; ++h) {
        const int64_t base = (row * shape.heads + h) * units;
        for (int64_t j = band_begin[row]; j < band_end[row]; ++j)
          if (token_slot[j] >= 0) out.on[base + h / (shape.heads / shape.kv_heads) * slots + token_slot[j]] = 1;
        if (shape.pick_heads == 0) continue;
        const int64_t list = row_block[row] * shape.pick_heads + h / (shape.heads / shape.pick_heads);
        for (int64_t i = pick_start[list]; i < pick_start[list + 1]; ++i)
          out.on[base + pick_unit[i]] = 1, out.log_pi[base + pick_unit[i]] = log_pi[i];
      }
    return out;
  }
};

// Rows sit at stream positions 5 .. 5 + rows - 1; slots are a shuffle; the first and last tokens are not on this rank.
template <class T>
AttentionCase<T> random_attention(const AttentionShape& shape, std::mt19937& random) {
  std::normal_distribution<double> normal;
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  AttentionCase<T> c{.shape = shape,
                     .units = 0,
                     .slots = 0,
                     .q = {},
                     .kv = {},
                     .grad_o = {},
                     .log_pi = {},
                     .band_begin = {},
                     .band_end = {},
                     .row_block = {},
                     .pick_unit = {},
                     .token_slot = {},
                     .pick_token = {}};
  const int64_t first = 5, singles = 7;
  c.slots = shape.rows + 2;
  std::vector<int32_t> slots(c.slots);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int32_t>(i);
  std::shuffle(slots.begin(), slots.end(), random);
  c.token_slot.assign(shape.rows + 5 + first + singles, -1);
  for (int64_t i = 0; i < shape.rows; ++i) c.token_slot[first + i] = slots[i];
  c.units = static_cast<int64_t>(slots.size()) * shape.kv_heads + singles;
  for (int64_t i = 0; i < shape.rows; ++i) {
    const int64_t begin = std::max(i / shape.block * shape.block - shape.window, int64_t{0}), empty = i % 11 == 3;
    c.band_begin.push_back(empty ? first + i : first + std::min(begin, i));
    c.band_end.push_back(first + i + !empty);
    if (i > 0) c.band_begin[i] = std::max(c.band_begin[i], c.band_begin[i - 1]);
    if (i > 0) c.band_end[i] = std::max(c.band_end[i], c.band_end[i - 1]);
    c.row_block.push_back(i / shape.block);
  }
  for (int64_t b = 0; b * shape.block < shape.rows && shape.pick_heads > 0; ++b)
    for (int64_t p = 0; p < shape.pick_heads; ++p) {
      const int64_t g = p * shape.kv_heads / shape.pick_heads;
      std::vector<int32_t> tokens;
      std::vector<int32_t> list;  // slots before the block's band, and single units
      for (int64_t i = 0; i < c.band_begin[b * shape.block] - first; ++i)
        if (below(3) == 0) {
          list.push_back(static_cast<int32_t>(g * c.slots + c.token_slot[first + i]));
          tokens.push_back(static_cast<int32_t>(first + i));
        }
      for (int64_t i = 0; i < singles; ++i)
        if (below(4) == 0 && i % shape.kv_heads == g) {
          list.push_back(static_cast<int32_t>(c.slots * shape.kv_heads + i));
          tokens.push_back(static_cast<int32_t>(first + shape.rows + i));
        }
      if (b % 5 == 1) list.clear(), tokens.clear();
      c.pick_token.insert(c.pick_token.end(), tokens.begin(), tokens.end());
      c.pick_unit.insert(c.pick_unit.end(), list.begin(), list.end());
      c.pick_start.push_back(static_cast<int64_t>(c.pick_unit.size()));
    }
  for (size_t i = 0; i < c.pick_unit.size(); ++i) c.log_pi.push_back(static_cast<T>(-std::abs(normal(random))));
  const auto fill = [&](std::vector<T>& x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) x.push_back(static_cast<T>(normal(random)));
  };
  fill(c.q, shape.rows * shape.heads * shape.width);
  fill(c.grad_o, shape.rows * shape.heads * shape.width);
  fill(c.kv, c.units * 2 * shape.width);
  return c;
}

// All of the kernels in a row: band, picks, finish, backward.
template <class T>
AttentionResult<T> run_kernels(const AttentionCase<T>& c, std::optional<kernels::Walk> walk = {}) {
  auto in = c.input();
  const kernels::PickTiles tiles = kernels::unite_picks(in, walk);
  in.tiles = &tiles;
  const AttentionShape& s = c.shape;
  AttentionResult<T> r{std::vector<T>(c.q.size(), T(9)), std::vector<T>(s.rows * s.heads, T(9)),
                       std::vector<T>(c.q.size(), T(9)), std::vector<T>(c.kv.size(), T(9))};
  std::vector<T> m(r.lse.size()), l(m.size()), acc(c.q.size());
  kernels::attention_begin<T>(s.rows, s.heads, s.width, m.data(), l.data(), acc.data());
  kernels::attention_band<T>(in, m.data(), l.data(), acc.data());
  kernels::attention_picks<T>(in, m.data(), l.data(), acc.data());
  kernels::attention_finish<T>(s.rows, s.heads, s.width, m.data(), l.data(), acc.data(), r.o.data(), r.lse.data());
  kernels::attention_backward<T>(in, r.o.data(), r.lse.data(), c.grad_o.data(), r.grad_q.data(), r.grad_kv.data());
  return r;
}

}  // namespace smartbird::reference
