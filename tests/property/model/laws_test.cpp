// Laws of the method: the two losses have disjoint gradients; many short documents are as good as few long ones.
#include <gtest/gtest.h>

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
