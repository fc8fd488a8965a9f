// Laws of the method: full budget is dense; the two losses have disjoint gradients; nothing foreign or future is read;
// every weight's gradient agrees with finite differences through the exchange.
#include <gtest/gtest.h>

#include "tests/support/tiny_run.h"

namespace smartbird::testing {
namespace {

TEST(Laws, FullBudgetIsDense) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat})
    for (const bool causal : {true, false}) {
      TinyRun run;
      run.shape = tiny_shape();
      run.dtype = dtype;
      run.shape.attention.visibility.causal = causal;
      run.shape.attention.picks = 1000;
      const TinyResult sparse = run_tiny(run, 3);
      run.dense = true;
      const TinyResult dense = run_tiny(run, 1);
      const double bound = dtype == at::kDouble ? 1e-12 : 1e-5, size = dense.task_grad.abs().max().item<double>();
      EXPECT_NEAR(sparse.loss, dense.loss, bound * std::abs(dense.loss));
      EXPECT_LT((sparse.task_grad - dense.task_grad).abs().max().item<double>(), bound * size);
      EXPECT_NEAR(sparse.mass.picked, sparse.mass.domain, 1e-4);
    }
}

TEST(Laws, LossesReachTheirOwnWeightsOnly) {
  TinyRun run;
  run.shape = tiny_shape();
  const TinyResult r = run_tiny(run, 2);
  const int64_t n = r.task_grad.size(0), split = r.sketch_begin;
  EXPECT_EQ(r.task_grad.narrow(0, split, n - split).abs().max().item<double>(), 0);
  EXPECT_EQ(r.sketch_grad.narrow(0, 0, split).abs().max().item<double>(), 0);
  EXPECT_GT(r.task_grad.narrow(0, 0, split).abs().max().item<double>(), 0);
  EXPECT_GT(r.sketch_grad.narrow(0, split, n - split).abs().max().item<double>(), 0);
}

// d loss / d w of a few weights of every parameter, the picks held by drawing nothing or everything or by top-k.
void check_differences(TinyRun run, int ranks) {
  const TinyResult base = run_tiny(run, ranks);
  ModelShape shape = run.shape;
  const Transformer names(shape, run.dtype, run.seed);
  for (const Parameter& p : names.parameters().list()) {
    const int64_t element = p.offset + p.count / 2;
    const double step = 1e-5;
    double task[2], sketch[2];
    for (int side : {0, 1}) {
      run.change_weights = [&](Parameters& w) { w.flat()[element] += side == 0 ? step : -step; };
      const TinyResult moved = run_tiny(run, ranks);
      task[side] = moved.loss, sketch[side] = moved.sketch_loss;
      if (moved.picks_hash != base.picks_hash) GTEST_SKIP() << "a pick moved";
    }
    const double measured = (task[0] - task[1]) / (2 * step), grad = base.task_grad[element].item<double>();
    if (!p.sketch) {
      EXPECT_NEAR(measured, grad, 1e-6 * (1 + std::abs(grad))) << p.name;
    }
    const double measured_sketch = (sketch[0] - sketch[1]) / (2 * step),
                 grad_sketch = base.sketch_grad[element].item<double>();
    if (p.sketch) {
      EXPECT_NEAR(measured_sketch, grad_sketch, 1e-6 * (1 + std::abs(grad_sketch))) << p.name;
    }
  }
}

TEST(Laws, FiniteDifferencesThroughTheExchange) {
  for (const int block : {1, 16})
    for (const bool causal : {true, false}) {
      TinyRun run;
      run.shape = tiny_shape();
      run.lengths = {30, 41};
      run.query_block = block;
      run.shape.attention.visibility.causal = causal;
      run.shape.attention.draw = kernels::DrawMode::Uniform;  // picks that no weight moves, with log π
      check_differences(run, 3);
    }
}

TEST(Laws, FiniteDifferencesPrefixGlobalsRecomputeEmptyRanks) {
  TinyRun run;
  run.shape = tiny_shape();
  run.lengths = {3, 9};
  run.shape.attention.visibility.prefix = 4;
  run.shape.attention.global_positions = {1};
  run.shape.attention.draw = kernels::DrawMode::Uniform;
  run.shape.attention.window = 1, run.shape.attention.picks = 2;
  run.shape.recompute_layers = true;
  run.probe_rate = 0.6;
  check_differences(run, 16);
}

TEST(Laws, NoFuture) {
  for (const int block : {1, 4, 16})
    for (const int64_t share : {int64_t{16}, int64_t{0}})
      for (const bool all : {false, true}) {
        TinyRun run;
        run.shape = tiny_shape();
        run.query_block = block;
        run.shape.attention.share_rows = share;
        run.shape.attention.fetch_all = all;
        run.lengths = {40, 6};
        for (const int64_t changed : {9, 22, 39}) {
          run.count_before = changed - 1;  // targets of rows whose own target is not the changed token
          TinyRun other = run;
          other.token = [plain = run.token, changed](int64_t sample, int64_t position) {
            return position == changed ? (plain(sample, position) + 5) % 23 : plain(sample, position);
          };
          EXPECT_EQ(run_tiny(run, 1).loss, run_tiny(other, 1).loss) << "b " << block << ", changed " << changed;
          EXPECT_EQ(run_tiny(run, 3).loss, run_tiny(other, 3).loss) << "b " << block << ", changed " << changed;
        }
      }
}

TEST(Laws, ForeignSequencesAreNotRead) {
  for (const bool causal : {true, false}) {
    TinyRun run;
    run.shape = tiny_shape();
    run.shape.attention.visibility.causal = causal;
    run.lengths = {40, 30};
    run.only_sample = 101;
    TinyRun other = run;
    other.token = [plain = run.token](int64_t sample, int64_t position) {
      return sample == 100 ? (position * 7) % 23 : plain(sample, position);
    };
    for (int ranks : {1, 3}) EXPECT_EQ(run_tiny(run, ranks).loss, run_tiny(other, ranks).loss);
    run.only_sample = other.only_sample = 100;
    EXPECT_NE(run_tiny(run, 1).loss, run_tiny(other, 1).loss);
  }
}

TEST(Laws, TheLastTokenChangesSomething) {
  TinyRun run;
  run.shape = tiny_shape();
  run.lengths = {7};
  run.shape.attention.visibility.causal = false;
  const double before = run_tiny(run, 3).loss;
  const auto plain = run.token;
  run.token = [plain](int64_t sample, int64_t position) {
    return position == 6 ? (plain(sample, position) + 1) % 23 : plain(sample, position);
  };
  EXPECT_GT(std::abs(before - run_tiny(run, 3).loss), 1e-6);
}

TEST(Laws, AThousandDocumentsOnEightRanks) {
  TinyRun run;
  run.shape = tiny_shape();
  run.lengths.clear();
  for (int i = 0; i < 1000; ++i) run.lengths.push_back(1 + i % 4);
  run.probe_rate = 0.01;
  const TinyResult alone = run_tiny(run, 1), eight = run_tiny(run, 8);
  EXPECT_EQ(alone.picks_hash, eight.picks_hash);
  EXPECT_NEAR(alone.loss, eight.loss, 1e-10 * alone.loss);
}

}  // namespace
}  // namespace smartbird::testing
