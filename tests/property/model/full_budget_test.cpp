// Law: with a budget K >= |E| the sampled attention is dense attention: loss and every gradient, however the keys are
// visible, drawn and spread over ranks.
#include <gtest/gtest.h>

#include "tests/support/cover_pairs.h"
#include "tests/support/tiny_run.h"

namespace smartbird::testing {
namespace {

using kernels::DrawMode;

struct Case {
  TinyRun run;
  int ranks = 1;
};

std::vector<NamedCase<Case>> cases() {
  Case plain;
  plain.run.shape = tiny_shape();
  plain.run.shape.attention.picks = 1000;
  const Axis<Case> visibilities{{"causal", [](Case&) {}},
                                {"prefix", [](Case&c) { c.run.shape.attention.visibility.prefix = 21; }},
                                {"bidirectional", [](Case&c) { c.run.shape.attention.visibility.causal = false; }}},
      blocks{{"b 1", [](Case&) {}}, {"b 16", [](Case&c) { c.run.query_block = 16; }}},
      globals{{"no globals", [](Case&) {}},
              {"globals",
               [](Case&c) {
                 c.run.shape.attention.global_positions = {0, 5, 30};
               }}},
      one_each{{"grouped", [](Case&) {}}, {"a kv head for each", [](Case&c) {
                                             c.run.shape.kv_heads = 4, c.run.shape.attention.kv_heads = 4,
                                             c.run.shape.attention.pick_heads = 4;
                                           }}};
  return covering_cases<Case>(
      plain,
      {crossed(visibilities, crossed(blocks, globals)),
       {{"poisson", [](Case&) {}},
        {"systematic", [](Case& c) { c.run.shape.attention.draw = DrawMode::Systematic; }},
        {"topk", [](Case& c) { c.run.shape.attention.draw = DrawMode::TopK; }},
        {"gumbel", [](Case& c) { c.run.shape.attention.draw = DrawMode::Gumbel; }},
        {"iid", [](Case& c) { c.run.shape.attention.draw = DrawMode::Iid; }},
        {"oracle", [](Case& c) { c.run.shape.attention.draw = DrawMode::Oracle; }},
        {"bigbird", [](Case& c) { c.run.shape.attention.draw = DrawMode::BigBird; }},
        {"uniform", [](Case& c) { c.run.shape.attention.draw = DrawMode::Uniform; }}},
       {{"P 1", [](Case&) {}},
        {"P 3", [](Case& c) { c.ranks = 3; }},
        {"P 8", [](Case& c) { c.ranks = 8; }},
        {"P 9, N 8",
         [](Case& c) {
           c.ranks = 9, c.run.lengths = {2, 6};
         }}},
       {{"window 2", [](Case&) {}}, {"picks alone", [](Case& c) { c.run.shape.attention.window = 0; }}},
       {{"a draw for all layers", [](Case&) {}}, {"a draw a layer", [](Case& c) { c.run.shape.redraw_layers = true; }}},
       {{"kv picks", [](Case&) {}}, {"query picks", [](Case& c) { c.run.shape.attention.pick_heads = 4; }}},
       one_each,
       {{"rows", [](Case&) {}}, {"all", [](Case& c) { c.run.shape.attention.exchange = ExchangePlan::All; }}}});
}

class FullBudget : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(FullBudget, IsDense) {
  const double bound = GetParam() == at::kDouble ? 1e-12 : 1e-5;  // relative to the largest
  for (auto [name, c] : cases()) {
    c.run.dtype = GetParam();
    const TinyResult sparse = run_tiny(c.run, c.ranks);
    TinyRun dense_run = c.run;
    dense_run.dense = true;
    const TinyResult dense = run_tiny(dense_run, 1), spread = run_tiny(dense_run, c.ranks);
    const double size = dense.task_grad.abs().max().item<double>();
    for (const TinyResult* other : {&sparse, &spread}) {
      const char* which = other == &sparse ? ": sparse" : ": dense on the same ranks";
      EXPECT_NEAR(other->loss, dense.loss, bound * std::abs(dense.loss)) << name << which;
      EXPECT_LT((other->task_grad - dense.task_grad).abs().max().item<double>(), bound * size) << name << which;
    }
    EXPECT_NEAR(sparse.mass.picked, sparse.mass.domain, bound * sparse.mass.all) << name;
  }
}

// One key missing from one row is not dense: the law above would notice. Of 20 rows the last has no target.
TEST(FullBudgetTooSmall, IsNotDense) {
  TinyRun run;
  run.shape = tiny_shape();
  run.lengths = {20};
  run.shape.attention.window = 0, run.shape.attention.picks = 17, run.shape.attention.draw = DrawMode::TopK;
  const double sparse = run_tiny(run, 3).loss;
  run.shape.attention.picks = 18;
  const double full = run_tiny(run, 3).loss;
  run.dense = true;
  const double dense = run_tiny(run, 3).loss;
  EXPECT_NEAR(full, dense, 1e-12 * dense);
  EXPECT_GT(std::abs(sparse - dense), 1e-9 * dense);
}

// Windows that a model was trained with are its own, however its sampled layers are served.
TEST(ServedDense, LeavesTheOtherLayersAlone) {
  TinyRun served;
  served.shape = tiny_shape();
  served.shape.pattern = {Pattern::Window, Pattern::Sparse};
  served.dense = true;
  TinyRun said = served, all = served;
  said.shape.pattern = {Pattern::Window, Pattern::Dense}, said.dense = false;
  all.shape.pattern = {Pattern::Dense, Pattern::Dense}, all.dense = false;
  for (const int ranks : {1, 3}) {
    const double want = run_tiny(said, ranks).loss;
    EXPECT_EQ(run_tiny(served, ranks).loss, want);
    EXPECT_GT(std::abs(run_tiny(all, ranks).loss - want), 1e-6 * want);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, FullBudget, ::testing::Values(at::kDouble, at::kFloat));

}  // namespace
}  // namespace smartbird::testing
