// Sparse attention, forward and backward, against dense attention with explicit pairs; finite differences; resumption.
#include <gtest/gtest.h>
#include <omp.h>

#include <limits>

#include "tests/reference/random_attention.h"

namespace smartbird {
namespace {

using reference::AttentionCase;
using reference::AttentionResult;
using reference::AttentionShape;
using reference::max_error;

const std::vector<AttentionShape> kShapes{
    {.rows = 0, .heads = 2, .kv_heads = 1, .width = 3, .pick_heads = 1},
    {.rows = 1, .heads = 1, .kv_heads = 1, .width = 1, .pick_heads = 1},
    {.rows = 37, .heads = 4, .kv_heads = 2, .width = 5, .pick_heads = 2},
    {.rows = 41, .block = 4, .window = 1, .heads = 4, .kv_heads = 2, .width = 17, .pick_heads = 4},
    {.rows = 50, .block = 7, .window = 0, .heads = 6, .kv_heads = 3, .width = 33, .pick_heads = 3},
    {.rows = 29, .window = 6, .heads = 3, .kv_heads = 3, .width = 16, .pick_heads = 0}};

AttentionCase<float> narrowed(const AttentionCase<double>& c) {
  AttentionCase<float> out{.shape = c.shape,
                           .units = c.units,
                           .slots = c.slots,
                           .q = {c.q.begin(), c.q.end()},
                           .kv = {c.kv.begin(), c.kv.end()},
                           .grad_o = {c.grad_o.begin(), c.grad_o.end()},
                           .log_pi = {c.log_pi.begin(), c.log_pi.end()},
                           .band_begin = c.band_begin,
                           .band_end = c.band_end,
                           .row_block = c.row_block,
                           .pick_start = c.pick_start,
                           .pick_unit = c.pick_unit,
                           .token_slot = c.token_slot,
                           .pick_token = c.pick_token};
  return out;
}

TEST(SparseAttention, DoubleMatchesDenseFormula) {
  std::mt19937 random(1);
  for (const AttentionShape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << "rows " << shape.rows << " width " << shape.width);
    const auto c = reference::random_attention<double>(shape, random);
    const auto want = reference::attention(c.dense(), c.grad_o);
    const auto got = reference::run_kernels(c);
    EXPECT_LT(max_error(got.o, want.o), 1e-13);
    EXPECT_LT(max_error(got.lse, want.lse), 1e-13);
    EXPECT_LT(max_error(got.grad_q, want.grad_q), 1e-12);
    EXPECT_LT(max_error(got.grad_kv, want.grad_kv), 1e-12);
  }
}

TEST(SparseAttention, FloatErrorIsThatOfThePlainFormula) {
  std::mt19937 random(2);
  for (const AttentionShape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << "rows " << shape.rows << " width " << shape.width);
    const auto narrow = narrowed(reference::random_attention<double>(shape, random));
    auto wide_dense = [&] {
      const auto d = narrow.dense();
      return reference::DenseAttention<double>{d.rows,
                                               d.heads,
                                               d.units,
                                               d.width,
                                               static_cast<double>(d.scale),
                                               {d.q.begin(), d.q.end()},
                                               {d.kv.begin(), d.kv.end()},
                                               d.on,
                                               {d.log_pi.begin(), d.log_pi.end()}};
    }();
    const auto want = reference::attention(wide_dense, {narrow.grad_o.begin(), narrow.grad_o.end()});
    const auto plain = reference::attention(narrow.dense(), narrow.grad_o);
    const auto got = reference::run_kernels(narrow);
    constexpr double kUnit = 1.2e-7;  // one rounding, where the plain formula happens to be exact
    EXPECT_LE(max_error(got.o, want.o), 2 * max_error(plain.o, want.o) + kUnit);
    EXPECT_LE(max_error(got.lse, want.lse), 2 * max_error(plain.lse, want.lse) + kUnit);
    EXPECT_LE(max_error(got.grad_q, want.grad_q), 2 * max_error(plain.grad_q, want.grad_q) + kUnit);
    EXPECT_LE(max_error(got.grad_kv, want.grad_kv), 2 * max_error(plain.grad_kv, want.grad_kv) + kUnit);
  }
}

TEST(SparseAttention, BackwardIsTheDerivative) {
  std::mt19937 random(3);
  auto c = reference::random_attention<double>(kShapes[2], random);
  const auto at = reference::run_kernels(c);
  const auto objective = [&] {
    const auto r = reference::run_kernels(c);
    double sum = 0;
    for (size_t i = 0; i < r.o.size(); ++i) sum += r.o[i] * c.grad_o[i];
    return sum;
  };
  const auto check = [&](std::vector<double>& x, const std::vector<double>& gradient) {
    for (size_t i = 0; i < x.size(); i += 7) {
      const double kept = x[i], step = 1e-5;
      x[i] = kept + step;
      const double up = objective();
      x[i] = kept - step;
      const double down = objective();
      x[i] = kept;
      EXPECT_NEAR((up - down) / (2 * step), gradient[i], 1e-8) << "element " << i;
    }
  };
  check(c.q, at.grad_q);
  check(c.kv, at.grad_kv);
}

// In two calls: the same up to rounding; units that no band reads are complete after the first.
TEST(SparseAttention, BackwardMayComeInTwoCalls) {
  std::mt19937 random(6);
  for (const AttentionShape& shape : kShapes) {
    const auto c = reference::random_attention<double>(shape, random);
    const auto whole = reference::run_kernels(c);
    auto in = c.input();
    const kernels::PickTiles tiles = kernels::unite_picks(in);
    in.tiles = &tiles;
    std::vector<double> grad_q(c.q.size(), 9), grad_kv(c.kv.size(), 9);
    kernels::attention_backward_picks<double>(in, whole.o.data(), whole.lse.data(), c.grad_o.data(), grad_q.data(),
                                              grad_kv.data());
    const std::vector<double> after_picks = grad_kv;
    int calls = 0;
    kernels::attention_backward_band<double>(in, whole.o.data(), whole.lse.data(), c.grad_o.data(), grad_q.data(),
                                             grad_kv.data(), [&] { ++calls; });
    EXPECT_LT(max_error(grad_q, whole.grad_q), 1e-13);
    EXPECT_LT(max_error(grad_kv, whole.grad_kv), 1e-13);
    EXPECT_GT(calls, 0);
    for (size_t i = static_cast<size_t>(c.slots * shape.kv_heads * 2 * shape.width); i < grad_kv.size(); ++i)
      EXPECT_EQ(grad_kv[i], after_picks[i]);
  }
}

TEST(SparseAttention, PicksMayArriveInParts) {
  std::mt19937 random(4);
  const auto c = reference::random_attention<double>(kShapes[3], random);
  const auto want = reference::run_kernels(c);
  std::vector<double> m(want.lse.size()), l(m.size()), acc(c.q.size()), o(acc.size()), lse(m.size());
  const AttentionShape& s = c.shape;
  kernels::attention_begin<double>(s.rows, s.heads, s.width, m.data(), l.data(), acc.data());
  kernels::attention_band<double>(c.input(), m.data(), l.data(), acc.data());
  for (int64_t part = 0; part < 3; ++part) {  // every third pick of each list
    auto some = c;
    some.pick_unit.clear(), some.pick_token.clear(), some.log_pi.clear(), some.pick_start = {0};
    for (size_t list = 0; list + 1 < c.pick_start.size(); ++list) {
      for (int64_t i = c.pick_start[list]; i < c.pick_start[list + 1]; ++i)
        if (i % 3 == part) {
          some.pick_unit.push_back(c.pick_unit[i]), some.pick_token.push_back(c.pick_token[i]);
          some.log_pi.push_back(c.log_pi[i]);
        }
      some.pick_start.push_back(static_cast<int64_t>(some.pick_unit.size()));
    }
    auto in = some.input();
    const kernels::PickTiles tiles = kernels::unite_picks(in);
    in.tiles = &tiles;
    kernels::attention_picks<double>(in, m.data(), l.data(), acc.data());
  }
  kernels::attention_finish<double>(s.rows, s.heads, s.width, m.data(), l.data(), acc.data(), o.data(), lse.data());
  EXPECT_LT(max_error(o, want.o), 1e-14);
  EXPECT_LT(max_error(lse, want.lse), 1e-14);
}

TEST(SparseAttention, ThreadsChangeNoBit) {
  const int before = omp_get_max_threads();
  for (AttentionShape shape : kShapes) {
    shape.rows *= 3;
    std::mt19937 random(8);
    const auto c = reference::random_attention<float>(shape, random);
    omp_set_num_threads(1);
    const auto one = reference::run_kernels(c);
    omp_set_num_threads(3);
    const auto three = reference::run_kernels(c);
    EXPECT_EQ(one.o, three.o);
    EXPECT_EQ(one.lse, three.lse);
    EXPECT_EQ(one.grad_q, three.grad_q);
    EXPECT_EQ(one.grad_kv, three.grad_kv);
  }
  omp_set_num_threads(before);
}

TEST(SparseAttention, RowsWithoutKeysAndUnitsWithoutReadersAreZero) {
  std::mt19937 random(5);
  auto c =
      reference::random_attention<double>({.rows = 6, .heads = 2, .kv_heads = 1, .width = 4, .pick_heads = 1}, random);
  c.band_begin.assign(6, 7), c.band_end.assign(6, 7);  // no band at all
  c.pick_start.assign(7, 0), c.pick_unit.clear(), c.log_pi.clear();
  const auto r = reference::run_kernels(c);
  for (double x : r.o) EXPECT_EQ(x, 0);
  for (double x : r.lse) EXPECT_EQ(x, -std::numeric_limits<double>::infinity());
  for (double x : r.grad_q) EXPECT_EQ(x, 0);
  for (double x : r.grad_kv) EXPECT_EQ(x, 0);
}

TEST(SparseAttention, ARowsBitsDoNotDependOnOtherRowsOrOnPlacement) {
  std::mt19937 random(6);
  const auto c = reference::random_attention<float>(kShapes[2], random);
  const auto all = reference::run_kernels(c);
  for (int64_t first : {1, 13, 36}) {  // the rows from `first` on, alone, with the units in reverse order
    auto some = c;
    const int64_t width = c.shape.heads * c.shape.width, slots = c.slots;
    some.shape.rows = c.shape.rows - first;
    some.q.erase(some.q.begin(), some.q.begin() + first * width);
    some.grad_o.erase(some.grad_o.begin(), some.grad_o.begin() + first * width);
    some.band_begin.erase(some.band_begin.begin(), some.band_begin.begin() + first);
    some.band_end.erase(some.band_end.begin(), some.band_end.begin() + first);
    some.row_block.resize(some.shape.rows);  // block 1: block = row
    some.pick_start.erase(some.pick_start.begin(), some.pick_start.begin() + first * c.shape.pick_heads);
    const auto moved = [&](int64_t unit) {
      return unit < slots * c.shape.kv_heads ? unit / slots * slots + slots - 1 - unit % slots : unit;
    };
    for (int32_t& slot : some.token_slot) slot = slot < 0 ? slot : static_cast<int32_t>(slots - 1 - slot);
    for (int32_t& unit : some.pick_unit) unit = static_cast<int32_t>(moved(unit));
    for (int64_t u = 0; u < c.units; ++u)
      std::copy_n(c.kv.begin() + u * 2 * c.shape.width, 2 * c.shape.width,
                  some.kv.begin() + moved(u) * 2 * c.shape.width);
    const auto part = reference::run_kernels(some);
    EXPECT_EQ(part.o, std::vector<float>(all.o.begin() + first * width, all.o.end()));
    EXPECT_EQ(part.grad_q, std::vector<float>(all.grad_q.begin() + first * width, all.grad_q.end()));
  }
}

}  // namespace
}  // namespace smartbird
