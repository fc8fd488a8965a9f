// Law: gather_units brings the rows that the plan names and its gradient is its adjoint, exactly; sparse_attention is
// softmax attention over the plan's band and picks, and its gradients agree with finite differences.
#include <cmath>
#include <limits>
#include <set>

#include "ops/sparse_attention.h"
#include "tests/support/plan_cases.h"

namespace smartbird::testing {
namespace {

constexpr int64_t kWidth = 2;

TEST(GatherUnits, BringsTheRowsThatThePlanNames) {
  for (const auto& [name, c] : plan_cases())
    with_plan(c, [&, name = name, c = c](const StepContext& context, const Plan& plan) {
      const int64_t g = plan.kv_heads, first_head = first_kv_head(context, plan);
      const std::vector<int64_t> tokens = attending_rows(context, plan);
      const at::Tensor units = gather_units(context, named_rows(context, plan, 2 * kWidth), plan).select(1, 0);
      ASSERT_EQ(units.size(0), plan.num_units) << name;
      const auto unit_is = [&](int64_t unit, int64_t token, int64_t head) {
        ASSERT_EQ(units[unit].item<double>(), static_cast<double>(token * plan.own_kv_heads + first_head + head))
            << name << ", unit " << unit;
      };
      for (size_t token = 0; token < plan.token_slot.size(); ++token)
        if (plan.token_slot[token] >= 0)
          for (int64_t head = 0; head < g; ++head)
            unit_is(head * plan.token_slots + plan.token_slot[token], static_cast<int64_t>(token), head);
      for (size_t row = 0; row < tokens.size(); ++row)  // no row of a band is missing
        for (int64_t token = plan.band_begin[row]; token < plan.band_end[row]; ++token)
          ASSERT_GE(plan.token_slot[static_cast<size_t>(token)], 0) << name;
      const std::vector<Layout::Block> blocks = attending_blocks(context, plan);
      for (size_t list = 0; plan.pick_heads > 0 && list + 1 < plan.pick_start.size(); ++list) {
        const auto heads = static_cast<size_t>(plan.pick_heads);
        const int64_t begin = context.layout.sequences()[static_cast<size_t>(blocks[list / heads].sequence)].begin;
        const std::set<int32_t> named(plan.pick_token.begin() + plan.pick_start[list],
                                      plan.pick_token.begin() + plan.pick_start[list + 1]);
        const int64_t head = static_cast<int64_t>(list % heads) * g / plan.pick_heads;
        for (int64_t i = plan.pick_start[list]; i < plan.pick_start[list + 1]; ++i) {
          const auto at = static_cast<size_t>(i);
          unit_is(plan.pick_unit[at], plan.pick_token[at], head);
          if (i == plan.pick_start[list]) continue;
          ASSERT_LT(plan.pick_token[at - 1], plan.pick_token[at]) << name;
        }
        if (plan.by_heads()) continue;  // what was drawn here is attended elsewhere
        for (int64_t i = plan.drawn_start[list]; i < plan.drawn_start[list + 1]; ++i)
          ASSERT_TRUE(named.contains(static_cast<int32_t>(begin + plan.drawn_key[static_cast<size_t>(i)]))) << name;
      }
    });
}

TEST(GatherUnits, GradientIsTheAdjointExactly) {
  for (const auto& [name, c] : plan_cases())
    with_plan(c, [&, name = name](const StepContext& context, const Plan& plan) {
      std::mt19937 random(7 + static_cast<uint32_t>(context.rank()));
      const at::Tensor kv = integer_tensor(random, {plan.own_rows, plan.own_kv_heads, 2 * kWidth}).requires_grad_(true);
      const at::Tensor units = gather_units(context, kv, plan), y = integer_tensor(random, units.sizes());
      torch::autograd::backward({units}, {y});
      const auto total = [&](const at::Tensor& a, const at::Tensor& b) {
        return context.group().reduce_value("test", (a * b).sum().item<double>(), ReduceOp::Sum);
      };
      EXPECT_EQ(total(units, y), total(kv, kv.grad())) << name;
    });
}

// The same attention by Torch, over all units with a bias: 0 in the band, -log π for picks, -inf elsewhere.
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& units, const Plan& plan) {
  at::Tensor bias =
      at::full({q.size(0), q.size(1), units.size(0)}, -std::numeric_limits<double>::infinity(), at::kDouble);
  for (int64_t row = 0; row < q.size(0); ++row)
    for (int64_t h = 0; h < plan.heads; ++h) {
      for (int64_t token = plan.band_begin[static_cast<size_t>(row)]; token < plan.band_end[static_cast<size_t>(row)];
           ++token)
        bias[row][h][h * plan.kv_heads / plan.heads * plan.token_slots + plan.token_slot[static_cast<size_t>(token)]] =
            0;
      if (plan.pick_heads == 0) continue;
      const size_t list = static_cast<size_t>(plan.row_block[static_cast<size_t>(row)] * plan.pick_heads +
                                              h * plan.pick_heads / plan.heads);
      for (int64_t i = plan.pick_start[list]; i < plan.pick_start[list + 1]; ++i)
        bias[row][h][plan.pick_unit[static_cast<size_t>(i)]] = -plan.pick_log_pi[i];
    }
  const at::Tensor k = units.narrow(1, 0, kWidth), v = units.narrow(1, kWidth, kWidth);
  return at::matmul(at::softmax(at::matmul(q, k.t()) / std::sqrt(static_cast<double>(kWidth)) + bias, -1), v);
}

TEST(SparseAttention, IsSoftmaxOverBandAndPicks) {
  for (const auto& [name, c] : plan_cases())
    with_plan(c, [&, name = name](const StepContext& context, const Plan& plan) {
      if (plan.num_rows == 0) return;
      std::mt19937 random(8 + static_cast<uint32_t>(context.rank()));
      const at::Tensor q = random_tensor(random, {plan.num_rows, plan.heads, kWidth}).requires_grad_(true),
                       units = random_tensor(random, {plan.num_units, 2 * kWidth}).requires_grad_(true);
      const at::Tensor o = sparse_attention(q, units, plan), plain = plain_attention(q, units, plan);
      EXPECT_TRUE(at::allclose(o, plain, 0, 1e-13)) << name;
      const at::Tensor y = random_tensor(random, o.sizes());
      const Tensors grads = torch::autograd::grad({o}, {q, units}, {y}),
                    expected = torch::autograd::grad({plain}, {q, units}, {y});
      for (size_t i : {0, 1}) EXPECT_TRUE(at::allclose(grads[i], expected[i], 0, 1e-12)) << name << ", input " << i;
    });
}

TEST(SparseAttention, FiniteDifferences) {
  for (const int block : {1, 4})
    for (const bool causal : {true, false}) {
      PlanCase c;
      c.lengths = {9, 3}, c.block = block, c.ranks = 2, c.settings.pick_heads = block == 1 ? 4 : 2;
      c.settings.visibility.causal = causal, c.settings.global_positions = {1};
      with_plan(c, [&](const StepContext& context, const Plan& plan) {
        std::mt19937 random(9 + static_cast<uint32_t>(context.rank()));
        expect_gradients([&](const Tensors& x) { return sparse_attention(x[0], x[1], plan); },
                         {random_tensor(random, {plan.num_rows, plan.heads, kWidth}),
                          random_tensor(random, {plan.num_units, 2 * kWidth})},
                         "b " + std::to_string(block));
      });
    }
}

// Queries, units and the incoming gradient as strided views.
TEST(SparseAttention, TakesInputThatIsNotContiguous) {
  with_plan(PlanCase{}, [](const StepContext&, const Plan& plan) {
    std::mt19937 random(10);
    const at::Tensor
        q = random_tensor(random, {plan.heads, plan.num_rows, kWidth}).transpose(0, 1).requires_grad_(true),
        units = random_tensor(random, {2 * kWidth, plan.num_units}).t().requires_grad_(true);
    const at::Tensor o = sparse_attention(q, units, plan), plain = plain_attention(q, units, plan);
    EXPECT_TRUE(at::allclose(o, plain, 0, 1e-13));
    const at::Tensor y = at::ones({1}, at::kDouble).expand(o.sizes());
    const Tensors grads = torch::autograd::grad({o}, {q, units}, {y}),
                  expected = torch::autograd::grad({plain}, {q, units}, {y});
    for (size_t i : {0, 1}) EXPECT_TRUE(at::allclose(grads[i], expected[i], 0, 1e-12)) << "input " << i;
  });
}

// Kept or fetched again: the same bits, and the gradient goes home.
TEST(Attend, FetchingAgainChangesNothing) {
  for (const auto& [name, c] : plan_cases())
    with_plan(c, [&, name = name](const StepContext& context, const Plan& plan) {
      std::mt19937 random(11 + static_cast<uint32_t>(context.rank()));
      const at::Tensor q = random_queries(random, plan, kWidth).requires_grad_(true),
                       kv = random_tensor(random, {plan.own_rows, plan.own_kv_heads, 2 * kWidth}).requires_grad_(true),
                       y = random_tensor(random, q.sizes());
      const at::Tensor kept = attend(context, q, kv, plan, {FetchedRows::Keep});
      const Tensors of_kept = torch::autograd::grad({kept}, {q, kv}, {y});
      const at::Tensor again = attend(context, q, kv, plan, {FetchedRows::FetchAgain});
      const Tensors of_again = torch::autograd::grad({again}, {q, kv}, {y});
      EXPECT_TRUE(at::equal(kept, again)) << name;
      for (size_t i : {0, 1}) EXPECT_TRUE(at::equal(of_kept[i], of_again[i])) << name << ", input " << i;
    });
}

// bfloat16: the bits of the same attention over rounded keys and values, kept or fetched again, in a quarter of double's
// bytes.
TEST(Attend, Bfloat16IsAttentionOverRoundedKeysAndValues) {
  for (const auto& [name, c] : plan_cases())
    with_plan(c, [&, name = name](const StepContext& context, const Plan& plan) {
      std::mt19937 random(12 + static_cast<uint32_t>(context.rank()));
      const at::Tensor q = random_queries(random, plan, kWidth).requires_grad_(true),
                       kv = random_tensor(random, {plan.own_rows, plan.own_kv_heads, 2 * kWidth}).requires_grad_(true),
                       rounded = kv.detach().to(at::kBFloat16).to(at::kDouble).requires_grad_(true),
                       y = random_tensor(random, q.sizes());
      const auto run = [&](const at::Tensor& from, KvStorage storage) {
        context.group().clear_counters();
        const at::Tensor o = attend(context, q, from, plan, storage);
        int64_t bytes = 0;
        for (const auto& [what, count] : context.group().sent_bytes())
          if (what != "head_queries" && what != "head_outputs") bytes += count;
        Tensors out = torch::autograd::grad({o}, {q, from}, {y});
        out.push_back(o);
        return std::pair{out, bytes};
      };
      const auto [plain, plain_bytes] = run(rounded, {});
      for (FetchedRows rows : {FetchedRows::Keep, FetchedRows::FetchAgain}) {
        const auto [half, bytes] = run(kv, {rows, true});
        EXPECT_EQ(bytes * 4, plain_bytes) << name;
        for (size_t i : {0, 1, 2}) EXPECT_TRUE(at::equal(half[i], plain[i])) << name << ", result " << i;
      }
    });
}

// Long enough that the band is computed in several pieces while rows arrive.
TEST(Attend, OverlapChangesNoBit) {
  for (const ExchangePlan exchange : {ExchangePlan::Rows, ExchangePlan::All})
    for (const LayoutKind layout : {LayoutKind::Contiguous, LayoutKind::Zigzag})
      for (const bool causal : {true, false}) {
        PlanCase c;  // the second has pieces that cut query blocks
        c.lengths = {1500, 3, 900}, c.ranks = 3, c.layout = layout;
        if (exchange == ExchangePlan::Rows) c.lengths = {6501, 300}, c.block = 16;
        c.settings.exchange = exchange, c.settings.visibility.causal = causal, c.settings.window = 9;
        c.settings.global_positions = {1, 250}, c.settings.share_rows = 16;
        std::vector<Tensors> results[2];
        for (const bool overlap : {false, true}) {
          c.settings.overlap = overlap;
          results[overlap].resize(static_cast<size_t>(c.ranks));
          with_plan(c, [&](const StepContext& context, const Plan& plan) {
            std::mt19937 random(12 + static_cast<uint32_t>(context.rank()));
            const at::Tensor q = random_queries(random, plan, kWidth).requires_grad_(true),
                             kv = random_tensor(random, {plan.own_rows, plan.own_kv_heads, 2 * kWidth})
                                      .requires_grad_(true),
                             y = random_tensor(random, q.sizes()), o = attend(context, q, kv, plan, {});
            Tensors& out = results[overlap][static_cast<size_t>(context.rank())];
            out = torch::autograd::grad({o}, {q, kv}, {y});
            out.push_back(o);
          });
        }
        for (size_t rank = 0; rank < results[0].size(); ++rank)
          for (size_t i : {0, 1, 2})
            EXPECT_TRUE(at::equal(results[0][rank][i], results[1][rank][i])) << rank << " " << i;
      }
}

// Nothing fetched: the units are the keys and values themselves, and so is the way back.
TEST(GatherUnits, CopiesNothingWhereNothingIsFetched) {
  with_plan(PlanCase{}, [](const StepContext& context, const Plan& plan) {
    ASSERT_EQ(plan.num_units, plan.num_rows * plan.kv_heads);
    const at::Tensor kv =
        at::ones({plan.kv_heads, plan.num_rows, 2 * kWidth}, at::kDouble).transpose(0, 1).requires_grad_(true);
    EXPECT_EQ(gather_units(context, kv, plan).const_data_ptr(), kv.const_data_ptr());
  });
}

}  // namespace
}  // namespace smartbird::testing
