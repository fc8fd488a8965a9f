// Laws of the method: the two losses have disjoint gradients, also with a frozen body; no budget is the window; a warm-up
// draws alone; many short documents are as good as few long ones.
#include <gtest/gtest.h>

#include "model/heads.h"
#include "tests/support/tiny_run.h"

namespace smartbird::testing {
namespace {

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

TEST(Laws, AFrozenBodyLeavesTheHeadAndTheSketchAsTheyAre) {
  for (const Pooling pooling : {Pooling::Mean, Pooling::Attention}) {
    TinyRun run;
    run.shape = tiny_shape();
    run.task = Task::Classify, run.shape.classes = 3, run.shape.pooling = pooling;
    const TinyResult free = run_tiny(run, 3);
    run.body_frozen = true;
    const TinyResult frozen = run_tiny(run, 3);
    const Transformer model(run.shape, run.dtype, run.seed);
    for (const Parameter& p : model.parameters().list()) {
      const at::Tensor expected = free.task_grad.narrow(0, p.offset, p.count),
                       got = frozen.task_grad.narrow(0, p.offset, p.count);
      EXPECT_TRUE(at::equal(got, is_label_head(p.name) ? expected : at::zeros_like(expected))) << p.name;
    }
    EXPECT_EQ(free.loss, frozen.loss);
    EXPECT_TRUE(at::equal(free.sketch_grad, frozen.sketch_grad));
  }
}

TEST(Laws, IndependentNumbersAreShareGroupsOfOneBlock) {
  for (const int block : {1, 4}) {
    TinyRun run;
    run.shape = tiny_shape();
    run.query_block = block;
    const TinyResult shared = run_tiny(run, 3);
    run.independent = true;
    const TinyResult independent = run_tiny(run, 3);
    run.independent = false, run.shape.attention.share_rows = block;
    EXPECT_EQ(independent.picks_hash, run_tiny(run, 3).picks_hash);
    EXPECT_NE(independent.picks_hash, shared.picks_hash);
  }
}

// The first layer is number 0 as the one draw is, so its picks stay; the second layer's differ. Their probes are the same.
TEST(Laws, LayersThatDrawAloneDifferInTheirPicks) {
  TinyRun run;
  run.shape = tiny_shape();
  run.probe_rate = 1;
  const TinyResult once = run_tiny(run, 2);
  run.shape.redraw_layers = true;
  const TinyResult twice = run_tiny(run, 2);
  EXPECT_NE(once.loss, twice.loss);
  EXPECT_NE(once.picks_hash, twice.picks_hash);
  EXPECT_NE(once.mass.picked, twice.mass.picked);
  EXPECT_NEAR(once.mass.all, twice.mass.all, 1e-9 * once.mass.all);
  run.shape.pattern = {Pattern::Sparse, Pattern::Window};
  const TinyResult first = run_tiny(run, 2);
  run.shape.redraw_layers = false;
  EXPECT_EQ(first.picks_hash, run_tiny(run, 2).picks_hash);
  EXPECT_EQ(first.picks_hash, once.picks_hash);
  EXPECT_NEAR(first.mass.picked, run_tiny(run, 2).mass.picked, 1e-12 * first.mass.picked);
}

// In one layer the exact attention knows no window; what the sketch learns of all visible keys does not either.
TEST(Laws, TheTargetIsWhatIsSampledOrAllThatIsVisible) {
  for (const int block : {1, 4}) {
    TinyRun run;
    run.shape = tiny_shape();
    run.shape.layers = 1, run.shape.pattern = {Pattern::Sparse}, run.shape.rotary_base = {10000};
    run.query_block = block, run.probe_rate = 1;
    const auto with = [&](bool visible, int64_t window, int ranks) {
      run.shape.sketch_of_visible = visible, run.shape.attention.window = window;
      return run_tiny(run, ranks);
    };
    const TinyResult sampled = with(false, 2, 3), all = with(true, 2, 3), far = with(true, 9, 3);
    EXPECT_EQ(sampled.mass.target, sampled.mass.domain);
    EXPECT_NEAR(all.mass.target, all.mass.all, 1e-12 * all.mass.all);
    EXPECT_GT(all.mass.target, 1.1 * sampled.mass.target);
    EXPECT_NEAR(all.sketch_loss, far.sketch_loss, 1e-10 * all.sketch_loss);
    EXPECT_TRUE(at::allclose(all.sketch_grad, far.sketch_grad, 1e-9, 1e-12));
    EXPECT_GT(std::abs(with(false, 9, 3).sketch_loss - sampled.sketch_loss), 1e-3 * sampled.sketch_loss);
    const TinyResult alone = with(true, 2, 1);
    EXPECT_NEAR(alone.sketch_loss, all.sketch_loss, 1e-10 * all.sketch_loss);
    EXPECT_TRUE(at::allclose(alone.sketch_grad, all.sketch_grad, 1e-9, 1e-12));
  }
}

TEST(Laws, NoBudgetIsTheWindow) {
  for (const bool causal : {true, false})
    for (const int block : {1, 16}) {
      TinyRun run;
      run.shape = tiny_shape();
      run.query_block = block, run.shape.attention.visibility.causal = causal;
      TinyRun window = run;
      window.shape.pattern = {Pattern::Window, Pattern::Window};
      const TinyResult expected = run_tiny(window, 3);
      for (const kernels::DrawMode draw : {kernels::DrawMode::Poisson, kernels::DrawMode::None}) {
        run.shape.attention.draw = draw, run.shape.attention.picks = draw == kernels::DrawMode::None ? 4 : 0;
        const TinyResult got = run_tiny(run, 3);
        EXPECT_EQ(got.loss, expected.loss);
        EXPECT_EQ(got.mass.picked, 0);
        const int64_t model = expected.sketch_begin;  // a model of windows has no sketch
        EXPECT_TRUE(at::equal(got.task_grad.narrow(0, 0, model), expected.task_grad.narrow(0, 0, model)));
      }
    }
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
