// Law: the number of ranks, the layout, the exchange plan, chunks and recomputation change no pick and, beyond rounding,
// no loss and no gradient.
#include <gtest/gtest.h>

#include "tests/support/tiny_run.h"

namespace smartbird::testing {
namespace {

void expect_same(const TinyResult& a, const TinyResult& b, const std::string& what) {
  EXPECT_EQ(a.picks_hash, b.picks_hash) << what;
  EXPECT_NEAR(a.loss, b.loss, 1e-11 * std::abs(a.loss)) << what;
  EXPECT_NEAR(a.sketch_loss, b.sketch_loss, 1e-11 * (1 + std::abs(a.sketch_loss))) << what;
  EXPECT_NEAR(a.mass.domain, b.mass.domain, 1e-10) << what;
  EXPECT_NEAR(a.mass.picked, b.mass.picked, 1e-10) << what;
  EXPECT_LT((a.task_grad - b.task_grad).abs().max().item<double>(),
            1e-11 * (1 + a.task_grad.abs().max().item<double>()))
      << what;
  EXPECT_LT((a.sketch_grad - b.sketch_grad).abs().max().item<double>(),
            1e-11 * (1 + a.sketch_grad.abs().max().item<double>()))
      << what;
}

std::vector<TinyRun> variants() {
  std::vector<TinyRun> out;
  for (const bool causal : {true, false})
    for (const int block : {1, 4}) {
      TinyRun run;
      run.shape = tiny_shape();
      run.shape.attention.visibility.causal = causal;
      run.query_block = block;
      out.push_back(run);
    }
  out.push_back(out[0]);  // prefix-LM with global keys
  out.back().shape.attention.visibility.prefix = 9;
  out.back().shape.attention.global_positions = {0, 11};
  out.push_back(out[0]);  // sketches on layers' inputs, heads pick alone, mixed patterns
  out.back().shape.sketch_per_layer = true;
  out.back().shape.attention.pick_heads = 4;
  out.push_back(out[0]);  // one sketch, a draw for each layer
  out.back().shape.redraw_layers = true;
  out.push_back(out[0]);
  out.back().shape.pattern = {Pattern::Window, Pattern::Dense};
  out.push_back(out[1]);  // whole-sequence share, other draws
  out.back().shape.attention.share_rows = 0;
  out.back().shape.attention.draw = kernels::DrawMode::Systematic;
  out.push_back(out[0]);
  out.back().shape.attention.draw = kernels::DrawMode::TopK;
  for (const kernels::DrawMode mode :
       {kernels::DrawMode::Gumbel, kernels::DrawMode::Iid, kernels::DrawMode::BigBird, kernels::DrawMode::Oracle}) {
    out.push_back(out[1]);
    out.back().shape.attention.draw = mode;
  }
  out.push_back(out[2]);  // classification
  out.back().task = Task::Classify;
  out.back().shape.classes = 3;
  out.back().shape.pooling = Pooling::Attention;
  out.push_back(out.back());
  out.back().shape.pooling = Pooling::Statistics;
  return out;
}

TEST(WorldSize, ChangesNothing) {
  int number = 0;
  for (const TinyRun& run : variants()) {
    const TinyResult alone = run_tiny(run, 1);
    for (int ranks : {2, 3, 5, 8, 16})
      expect_same(alone, run_tiny(run, ranks), "variant " + std::to_string(number) + ", P = " + std::to_string(ranks));
    TinyRun zigzag = run;
    zigzag.layout = LayoutKind::Zigzag;
    for (int ranks : {3, 8}) expect_same(alone, run_tiny(zigzag, ranks), "zigzag, variant " + std::to_string(number));
    ++number;
  }
}

TEST(WorldSize, PlanAllFetchesMoreAndChangesNothing) {
  TinyRun run;
  run.shape = tiny_shape();
  run.lengths = {150};
  const TinyResult rows = run_tiny(run, 4);
  run.shape.attention.exchange = ExchangePlan::All;
  const TinyResult all = run_tiny(run, 4);
  expect_same(rows, all, "plan all");
  EXPECT_LT(rows.fetched_rows, all.fetched_rows);
}

// Whatever the link makes of it, with and without overlap.
TEST(WorldSize, PlanAutoChangesNothing) {
  for (TinyRun run : variants()) {
    run.shape.kv_heads = run.shape.attention.kv_heads = 4, run.shape.attention.pick_heads = 4;
    const TinyResult alone = run_tiny(run, 1);
    run.shape.attention.exchange = ExchangePlan::Auto;
    for (const Link& link : {Link{0, 1e3}, Link{1, 1e12}}) {
      run.link = link;
      for (int ranks : {2, 3, 4}) expect_same(alone, run_tiny(run, ranks), "plan auto");
    }
    run.shape.attention.overlap = false;
    expect_same(alone, run_tiny(run, 4), "no overlap");
  }
}

// Queries, keys, values and picks change hands.
TEST(WorldSize, PlanHeadsChangesNothing) {
  int number = 0;
  for (TinyRun run : variants()) {
    const bool query_picks = run.shape.attention.pick_heads == run.shape.heads;
    run.shape.heads = run.shape.attention.heads = 8, run.shape.kv_heads = run.shape.attention.kv_heads = 4;
    run.shape.head_width = 2, run.shape.attention.pick_heads = query_picks ? 8 : 4;
    const TinyResult alone = run_tiny(run, 1);
    run.shape.attention.exchange = ExchangePlan::Heads;
    const std::string name = "variant " + std::to_string(number++) + ", P = ";
    for (const bool again : {false, true}) {
      run.shape.fetch_again = again;
      for (int ranks : {1, 2, 4}) expect_same(alone, run_tiny(run, ranks), name + std::to_string(ranks));
    }
    run.layout = LayoutKind::Zigzag, run.shape.recompute_layers = true;
    expect_same(alone, run_tiny(run, 4), name + "4, zigzag, recomputed");
  }
  TinyRun run;  // one head a rank
  run.shape = tiny_shape();
  run.shape.heads = run.shape.attention.heads = run.shape.kv_heads = run.shape.attention.kv_heads = 4;
  run.shape.attention.pick_heads = 4, run.shape.attention.exchange = ExchangePlan::Heads;
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{37, 5, 50}, {1}}) {
    run.lengths = lengths;
    expect_same(run_tiny(run, 1), run_tiny(run, 4), "one head a rank");
  }
}

// Chunks of one block, one key and one row.
TEST(WorldSize, ChunkBudgetsChangeNothing) {
  for (TinyRun run : variants()) {
    const TinyResult whole = run_tiny(run, 3);
    run.shape.attention.scan_budget_bytes = 1, run.shape.probe_budget_bytes = 1, run.shape.loss_rows = 1;
    expect_same(whole, run_tiny(run, 3), "smallest chunks");
  }
}

TEST(WorldSize, RecomputationChangesNothing) {
  TinyRun run;
  run.shape = tiny_shape();
  run.shape.dropout = 0.1;
  const TinyResult kept = run_tiny(run, 3);
  run.shape.fetch_again = true;
  expect_same(kept, run_tiny(run, 3), "rows fetched again");
  for (const bool keep_mlp : {true, false})
    for (const bool layers : {true, false}) {
      run.shape.recompute_layers = layers, run.shape.keep_mlp = keep_mlp;
      expect_same(kept, run_tiny(run, 3), "recompute");
      expect_same(kept, run_tiny(run, 1), "recompute, one rank");
    }
}

TEST(WorldSize, FewerTokensThanRanksAndOneToken) {
  TinyRun run;
  run.shape = tiny_shape();
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{1}, {3}, {1, 1, 2}, {}}) {
    run.lengths = lengths;
    const TinyResult alone = run_tiny(run, 1);
    for (int ranks : {2, 8}) expect_same(alone, run_tiny(run, ranks), "short");
  }
}

TEST(WorldSize, FloatPicksAreTheSameBits) {
  TinyRun run;
  run.shape = tiny_shape();
  run.dtype = at::kFloat;
  run.lengths = {301, 77};
  const uint64_t hash = run_tiny(run, 1).picks_hash;
  for (int ranks : {2, 3, 7, 8, 16}) EXPECT_EQ(hash, run_tiny(run, ranks).picks_hash) << ranks;
  run.step = 2;
  EXPECT_NE(hash, run_tiny(run, 1).picks_hash);
  run.step = 1, run.seed = 4;
  EXPECT_NE(hash, run_tiny(run, 1).picks_hash);
}

}  // namespace
}  // namespace smartbird::testing
