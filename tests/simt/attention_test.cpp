// Law: on the emulator a kernel for a GPU gives what its definition in double gives, within the error of sums in float and of the
// output's own type.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "device_array.h"
#include "kernels/attention_device.h"
#include "kernels/pick_transpose.h"
#include "tests/reference/random_attention.h"
#include "tests/simt/elements.h"
#include "tests/simt/united.h"

namespace smartbird::kernels {
namespace {

using device_test::DeviceArray;

template <class Element>
struct Attended {
  std::vector<Element> o;
  std::vector<float> lse;
  std::vector<Element> grad_q;
  std::vector<Element> grad_kv;
};

// The lists of a case from the side of its keys.
struct ByKey {
  explicit ByKey(const reference::AttentionCase<double>& c)
      : slot_begin(band_of_slots(c, c.band_end)),
        slot_end(band_of_slots(c, c.band_begin)),
        block_begin(blocks_of(c)),
        pick_list(lists_of_picks(c)),
        unit(c.pick_unit),
        pick_log_pi(std::vector<float>(c.log_pi.begin(), c.log_pi.end())),
        start(static_cast<size_t>(c.units) + 1, -7),
        list(c.pick_unit.size(), -7),
        log_pi(c.pick_unit.size(), 7.0F),
        memory(static_cast<size_t>(pick_transpose_bytes(static_cast<int64_t>(c.pick_unit.size())) / 4)),
        tails(static_cast<size_t>(attention_tails(static_cast<int64_t>(c.pick_unit.size())) * 2 * c.shape.width),
              std::nanf("")) {
    pick_transpose(Stream{}, static_cast<int64_t>(c.pick_unit.size()), c.units,
                   {unit.data(), pick_list.data(), pick_log_pi.data()}, memory.data(),
                   {start.data(), list.data(), log_pi.data()});
    lists = {slot_begin.data(), slot_end.data(), block_begin.data(), c.shape.block,
             start.data(),      list.data(),     log_pi.data(),      static_cast<int64_t>(c.pick_unit.size()),
             tails.data()};
  }
  // For every slot the first row whose bound of the band lies beyond its token.
  static std::vector<int64_t> band_of_slots(const reference::AttentionCase<double>& c,
                                            const std::vector<int64_t>& bound) {
    std::vector<int64_t> out(static_cast<size_t>(c.slots));
    for (size_t token = 0; token < c.token_slot.size(); ++token)
      if (c.token_slot[token] >= 0)
        out[static_cast<size_t>(c.token_slot[token])] =
            std::upper_bound(bound.begin(), bound.end(), static_cast<int64_t>(token)) - bound.begin();
    return out;
  }
  static std::vector<int64_t> blocks_of(const reference::AttentionCase<double>& c) {
    std::vector<int64_t> out;
    for (int64_t row = 0; row < c.shape.rows; row += c.shape.block) out.push_back(row);
    out.push_back(c.shape.rows);
    return out;
  }
  static std::vector<int32_t> lists_of_picks(const reference::AttentionCase<double>& c) {
    std::vector<int32_t> out;
    for (size_t list = 0; list + 1 < c.pick_start.size(); ++list)
      out.insert(out.end(), static_cast<size_t>(c.pick_start[list + 1] - c.pick_start[list]),
                 static_cast<int32_t>(list));
    return out;
  }
  DeviceArray<int64_t> slot_begin, slot_end, block_begin;
  DeviceArray<int32_t> pick_list, unit;
  DeviceArray<float> pick_log_pi;
  DeviceArray<int64_t> start;
  DeviceArray<int32_t> list;
  DeviceArray<float> log_pi;
  DeviceArray<int32_t> memory;
  DeviceArray<float> tails;
  DeviceKeyLists lists;
};

enum class Rows { OneByOne, InTiles };

template <class Element>
Attended<Element> attend_on_device(const reference::AttentionCase<double>& c, Rows rows, bool keys = true) {
  const auto device = [](const std::vector<double>& x) {
    return elements<Element>(std::vector<float>(x.begin(), x.end()));
  };
  DeviceArray<Element> q(device(c.q)), kv(device(c.kv)), o(c.q.size(), Element(9));
  DeviceArray<int64_t> band_begin(c.band_begin), band_end(c.band_end), row_block(c.row_block), start(c.pick_start);
  DeviceArray<int32_t> token_slot(c.token_slot), unit(c.pick_unit);
  DeviceArray<float> log_pi(std::vector<float>(c.log_pi.begin(), c.log_pi.end())),
      lse(static_cast<size_t>(c.shape.rows * c.shape.heads), 9.0F);
  DeviceAttentionInput<Element> in;
  in.rows = c.shape.rows, in.units = c.units, in.heads = c.shape.heads, in.kv_heads = c.shape.kv_heads;
  in.width = c.shape.width, in.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.shape.width)));
  in.q = q.data(), in.kv = kv.data(), in.band_begin = band_begin.data(), in.band_end = band_end.data();
  in.token_slot = token_slot.data(), in.slots = c.slots, in.pick_heads = c.shape.pick_heads;
  in.row_block = row_block.data(), in.pick_start = start.data(), in.pick_unit = unit.data();
  in.pick_log_pi = log_pi.data();
  DeviceArray<int32_t> pick_token(c.pick_token);
  United united(in, pick_token.data());
  if (rows == Rows::InTiles && in.pick_heads > 0)
    in.tile_start = united.start.data(), in.tile_unit = united.unit.data(), in.tile_bits = united.bits.data();
  attention_forward<Element>(Stream{}, in, o.data(), lse.data());
  DeviceArray<Element> grad_o(device(c.grad_o)), grad_q(c.q.size(), Element(9));
  DeviceArray<float> sums(static_cast<size_t>(2 * c.shape.rows * c.shape.heads), 9.0F);
  attention_backward_q<Element>(Stream{}, in, o.data(), lse.data(), grad_o.data(), grad_q.data(), sums.data());
  if (!keys) return {o.values(), lse.values(), grad_q.values(), {}};
  ByKey by_key(c);
  DeviceArray<float> band(static_cast<size_t>(c.slots * c.shape.kv_heads * 2 * c.shape.width), std::nanf(""));
  if (std::is_same_v<Element, uint16_t>) by_key.lists.band = band.data();
  DeviceArray<Element> grad_kv(c.kv.size(), Element(9));
  attention_backward_kv<Element>(Stream{}, in, by_key.lists, grad_o.data(), sums.data(), grad_kv.data());
  return {o.values(), lse.values(), grad_q.values(), grad_kv.values()};
}

// Rounded to what Element holds, so that only the kernel's arithmetic differs.
template <class Element>
void round_to(std::vector<double>& numbers) {
  for (double& x : numbers)
    x = std::is_same_v<Element, float> ? static_cast<float>(x) : from_bits(bfloat16_bits(static_cast<float>(x)));
}

double value_of(float x) { return x; }
double value_of(uint16_t bits) { return from_bits(bits); }
double max_magnitude(const std::vector<double>& x) {
  double most = 0;
  for (double value : x) most = std::max(most, std::abs(value));
  return most;
}

// The output's own rounding, and sums in float; of tiles also that of the weights, to within 2^-9 each.
template <class Element>
void expect_dense_attention(reference::AttentionCase<double>& c, double of_output, Rows rows, double of_gradient = 1) {
  round_to<Element>(c.q), round_to<Element>(c.kv), round_to<Element>(c.grad_o), round_to<float>(c.log_pi);
  const auto want = reference::attention(c.dense(), c.grad_o);
  const Attended<Element> got = attend_on_device<Element>(c, rows);
  const bool in_tiles = !std::is_same_v<Element, float> && (rows == Rows::InTiles || c.shape.pick_heads == 0);
  const double of_weights = in_tiles ? 0x1p-9 * max_magnitude(c.kv) : 0;
  for (size_t i = 0; i < got.o.size(); ++i)
    ASSERT_NEAR(value_of(got.o[i]), want.o[i], of_output * std::abs(want.o[i]) + of_weights + 2e-6) << i;
  // Of bfloat16, o and with it Δ was rounded.
  const auto expect_gradient = [&](const std::vector<Element>& gradient, const std::vector<double>& wanted) {
    const double within = of_gradient * ((in_tiles ? 4 : 2) * of_output + 1e-6) * max_magnitude(wanted) + 1e-5;
    for (size_t i = 0; i < gradient.size(); ++i) ASSERT_NEAR(value_of(gradient[i]), wanted[i], within) << i;
  };
  expect_gradient(got.grad_q, want.grad_q);
  expect_gradient(got.grad_kv, want.grad_kv);
  for (size_t i = 0; i < got.lse.size(); ++i)
    if (std::isinf(want.lse[i]))
      ASSERT_EQ(got.lse[i], want.lse[i]);
    else
      ASSERT_NEAR(got.lse[i], want.lse[i], 4e-6 * (1 + std::abs(want.lse[i]))) << i;
}

template <class Element>
void expect_dense_attention(double of_output, Rows rows) {
  std::mt19937 random(4);
  for (const reference::AttentionShape& shape : std::vector<reference::AttentionShape>{
           {.rows = 0, .heads = 2, .kv_heads = 1, .width = 32, .pick_heads = 1},
           {.rows = 1, .heads = 1, .kv_heads = 1, .width = 64, .pick_heads = 1},
           {.rows = 37, .window = 9, .heads = 4, .kv_heads = 2, .width = 64, .pick_heads = 2},
           {.rows = 41, .block = 4, .window = 1, .heads = 4, .kv_heads = 2, .width = 32, .pick_heads = 4},
           {.rows = 30, .block = 7, .window = 0, .heads = 6, .kv_heads = 3, .width = 128, .pick_heads = 3},
           {.rows = 29, .window = 40, .heads = 3, .kv_heads = 3, .width = 32, .pick_heads = 0},
           {.rows = 70, .window = 20, .heads = 2, .kv_heads = 1, .width = 64, .pick_heads = 1},
           {.rows = 32, .window = 5, .heads = 2, .kv_heads = 1, .width = 128, .pick_heads = 1}}) {
    SCOPED_TRACE(::testing::Message() << "rows " << shape.rows << " width " << shape.width);
    auto c = reference::random_attention<double>(shape, random);
    expect_dense_attention<Element>(c, of_output, rows);
  }
}

TEST(Attention, IsDenseAttentionInFloat) { expect_dense_attention<float>(0, Rows::OneByOne); }
TEST(Attention, IsDenseAttentionInBfloat16) { expect_dense_attention<uint16_t>(0x1p-8, Rows::OneByOne); }
TEST(Attention, IsDenseAttentionInTiles) { expect_dense_attention<uint16_t>(0x1p-8, Rows::InTiles); }

// Tokens of a band that are not on this rank, and scores so large that exponents overflow without a maximum.
TEST(Attention, InTilesSeesWhatIsThere) {
  std::mt19937 random(6);
  for (const bool large : {false, true}) {
    SCOPED_TRACE(large);
    auto c = reference::random_attention<double>(
        {.rows = 40, .window = 12, .heads = 2, .kv_heads = 2, .width = 64, .pick_heads = 2}, random);
    for (const size_t gone : {9, 10, 30}) c.token_slot[gone] = -1;
    if (large)
      for (double& x : c.q) x *= 100;
    // Where one key has nearly all, gradients are small beside the error of Δ.
    expect_dense_attention<uint16_t>(c, 0x1p-8, Rows::InTiles, large ? 8 : 1);
  }
}

// A row with one key gives its value and learns nothing from the score, whatever its weight was rounded to.
TEST(Attention, OneKeyIsItsValueInTiles) {
  std::mt19937 random(7);
  for (const int width : {32, 64, 128}) {
    SCOPED_TRACE(width);
    auto c = reference::random_attention<double>(
        {.rows = 20, .window = 0, .heads = 2, .kv_heads = 1, .width = width, .pick_heads = 0}, random);
    round_to<uint16_t>(c.q), round_to<uint16_t>(c.kv), round_to<uint16_t>(c.grad_o);
    const auto want = reference::attention(c.dense(), c.grad_o);
    const auto got = attend_on_device<uint16_t>(c, Rows::InTiles);
    for (size_t i = 0; i < got.o.size(); ++i) {
      ASSERT_EQ(value_of(got.o[i]), want.o[i]) << i;
      ASSERT_NEAR(value_of(got.grad_q[i]), 0, 1e-5) << i;
    }
  }
}

// Units whose picks are cut: by all rows, by one more than fit a warp, by as many, by one less.
template <class Element>
void expect_heavy_units_cut(double of_output) {
  std::mt19937 random(5);
  auto c = reference::random_attention<double>({.rows = 1100, .window = 0, .width = 32, .pick_heads = 1}, random);
  c.pick_unit.clear(), c.pick_token.clear(), c.pick_start = {0}, c.log_pi.clear();
  const int64_t picked_by[] = {1100, 513, 512, 511, 3, 1024};
  for (int64_t row = 0; row < c.shape.rows; ++row) {
    for (int32_t i = 0; i < 6; ++i)
      if (row < picked_by[i]) {
        c.pick_unit.push_back(static_cast<int32_t>(c.slots) + i), c.pick_token.push_back(i);
        c.log_pi.push_back(-0.1 * i);
      }
    c.pick_start.push_back(static_cast<int64_t>(c.pick_unit.size()));
  }
  expect_dense_attention<Element>(c, of_output, Rows::OneByOne);
}
TEST(Attention, CutsHeavyUnits) { expect_heavy_units_cut<float>(0); }
TEST(Attention, CutsHeavyUnitsInBfloat16) { expect_heavy_units_cut<uint16_t>(0x1p-8); }

// A row alone, and the same row among others: the same bits.
template <class Element>
void expect_rows_stand_alone(int pick_heads) {
  std::mt19937 random(5);
  const auto c = reference::random_attention<double>(
      {.rows = 21, .window = 9, .heads = 2, .kv_heads = 1, .width = 64, .pick_heads = pick_heads}, random);
  const auto all = attend_on_device<Element>(c, Rows::OneByOne, false);
  for (const int64_t row : {0, 6, 17}) {
    auto one = c;
    one.shape.rows = 1;
    const auto row_of = [&](auto& x, int64_t width) { x = {x.begin() + row * width, x.begin() + (row + 1) * width}; };
    row_of(one.q, 128), row_of(one.grad_o, 128), row_of(one.band_begin, 1), row_of(one.band_end, 1),
        row_of(one.row_block, 1);
    const auto alone = attend_on_device<Element>(one, Rows::OneByOne, false);
    for (size_t i = 0; i < alone.o.size(); ++i) {
      EXPECT_EQ(alone.o[i], all.o[static_cast<size_t>(row) * 128 + i]);
      EXPECT_EQ(alone.grad_q[i], all.grad_q[static_cast<size_t>(row) * 128 + i]);
    }
  }
}

TEST(Attention, RowsStandAlone) { expect_rows_stand_alone<float>(1); }
TEST(Attention, RowsStandAloneInBfloat16) { expect_rows_stand_alone<uint16_t>(1); }
TEST(Attention, RowsOfBandsInTilesStandAlone) { expect_rows_stand_alone<uint16_t>(0); }

}  // namespace
}  // namespace smartbird::kernels
