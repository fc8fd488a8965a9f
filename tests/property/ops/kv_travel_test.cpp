// Law: rows that travel beside other work change no bit, are read once and leave nothing behind.
#include "ops/kv_travel.h"

#include "ops/attention_input.h"
#include "ops/sparse_attention.h"
#include "tests/support/plan_cases.h"

namespace smartbird::testing {
namespace {

constexpr int64_t kWidth = 2;

// From the block's input on: keys and values depart before the queries are projected and their gradients
// arrive after the queries' gradient was taken; several chunks of rows.
Tensors project_and_attend(const StepContext& context, const Plan& plan, KvStorage storage) {
  constexpr int64_t kModel = 6;
  std::mt19937 mine(13 + static_cast<uint32_t>(context.rank())), all(14);
  const int64_t heads = plan.heads / plan.kv_heads * plan.own_kv_heads, kv_heads = plan.own_kv_heads;
  const at::Tensor x = random_tensor(mine, {plan.own_rows, kModel}).requires_grad_(true),
                   y = random_tensor(mine, {plan.own_rows, heads, kWidth});
  Tensors in{x, random_tensor(all, {kModel}), random_tensor(all, {heads * kWidth, kModel}),
             random_tensor(all, {kv_heads * kWidth, kModel}), random_tensor(all, {kv_heads * kWidth, kModel})};
  for (at::Tensor& tensor : in) tensor.requires_grad_(true);
  const RotaryTable table =
      rotary_table(index_tensor(context.layout.tokens_of(context.rank())), kWidth, 100, at::kDouble);
  const auto travel = c10::make_intrusive<KvTravel>(context.group(), plan, storage);
  const AttentionOperands of =
      attention_input(x, {in[1], in[2], in[3], in[4]}, table, kWidth, {}, travel, plan.own_rows / 3 + 1);
  const at::Tensor o = attend(context, of.q, of.kv, travel);
  Tensors out = torch::autograd::grad({o}, {in.begin(), in.end()}, {y});
  out.push_back(o.detach());
  return out;
}

TEST(Attend, RowsThatTravelBesideProjectionsChangeNoBit) {
  for (auto [name, c] : plan_cases())
    for (const KvStorage storage : {KvStorage{}, KvStorage{FetchedRows::FetchAgain, true}}) {
      std::vector<Tensors> results[2];
      for (const bool overlap : {false, true}) {
        c.settings.overlap = overlap;
        results[overlap].resize(static_cast<size_t>(c.ranks));
        with_plan(c, [&](const StepContext& context, const Plan& plan) {
          results[overlap][static_cast<size_t>(context.rank())] = project_and_attend(context, plan, storage);
        });
      }
      for (size_t rank = 0; rank < results[0].size(); ++rank)
        for (size_t i = 0; i < results[0][rank].size(); ++i)
          EXPECT_TRUE(at::equal(results[0][rank][i], results[1][rank][i])) << name << ", " << rank << " " << i;
    }
}

// A step that is over holds nothing: what travelled is part of the graph and must not hold the graph.
TEST(Attend, NothingOutlivesTheGraph) {
  PlanCase c;
  c.lengths = {60}, c.ranks = 2;
  for (const KvStorage storage : {KvStorage{}, KvStorage{FetchedRows::FetchAgain, false}, KvStorage{{}, true}})
    with_plan(c, [&](const StepContext& context, const Plan& plan) {
      c10::weak_intrusive_ptr<KvTravel> weak(c10::make_intrusive<KvTravel>(context.group(), plan, storage));
      {
        const auto travel = c10::make_intrusive<KvTravel>(context.group(), plan, storage);
        weak = c10::weak_intrusive_ptr<KvTravel>(travel);
        const at::Tensor x = at::ones({plan.own_rows, 4}, at::kDouble).requires_grad_(true),
                         norm = at::ones({4}, at::kDouble), wq = at::ones({plan.heads * kWidth, 4}, at::kDouble),
                         wk = at::ones({plan.kv_heads * kWidth, 4}, at::kDouble);
        const AttentionOperands of =
            attention_input(x, {norm, wq, wk, wk}, rotary_table(at::arange(plan.own_rows), kWidth, 100, at::kDouble),
                            kWidth, {}, travel);
        attend(context, of.q, of.kv, travel).sum().backward();
      }
      EXPECT_TRUE(weak.expired());
    });
}

// Somebody who reads the gradient of keys and values before all of it is there gets an error, never a wrong number.
TEST(Attend, KeysOnTheirWayHaveOneReader) {
  PlanCase c;
  c.lengths = {60}, c.ranks = 2;
  with_plan(c, [&](const StepContext& context, const Plan& plan) {
    const auto travel = c10::make_intrusive<KvTravel>(context.group(), plan, KvStorage{});
    const at::Tensor x = at::ones({plan.own_rows, 4}, at::kDouble).requires_grad_(true),
                     norm = at::ones({4}, at::kDouble), wq = at::ones({plan.heads * kWidth, 4}, at::kDouble),
                     wk = at::ones({plan.kv_heads * kWidth, 4}, at::kDouble);
    const AttentionOperands of = attention_input(
        x, {norm, wq, wk, wk}, rotary_table(at::arange(plan.own_rows), kWidth, 100, at::kDouble), kWidth, {}, travel);
    const at::Tensor sum = attend(context, of.q, of.kv, travel).sum() + of.kv.sum();
    EXPECT_THROW(sum.backward(), Error);
  });
}

}  // namespace
}  // namespace smartbird::testing
