// Laws of the sketch report: it changes no bit of what it looks at; exact attention lies in the band or in E; with K >= |E| every
// choice holds all of E and the outputs are those of dense attention; its shares are those that the probes of training count, and
// its phi is what P ranks count.
#include <cmath>

#include "tests/support/rank_tests.h"
#include "tests/support/tiny_run.h"
#include "tools/selector_observer.h"

namespace smartbird::testing {
namespace {

struct Looked {
  SelectorReport report;
  double loss = 0, loss_without = 0;
  ProbeMass probes;
};

Looked look(const TinyRun& run) {
  Looked out;
  run_thread_ranks(1, [&](Communicator& group) {
    const TinyRank rank(run, group);
    out.report = empty_report(run.shape, run.query_block);
    SelectorObserver observer(rank.model, 1e9, out.report);  // every block
    const at::NoGradGuard no_grad;
    out.loss = rank.model.forward(rank.context, rank.stream, {.probe_rate = -1, .observer = &observer})
                   .task_loss.item<double>();
    const Forward without = rank.model.forward(rank.context, rank.stream, {.probe_rate = 1});
    out.loss_without = without.task_loss.item<double>(), out.probes = without.probe_mass;
  });
  return out;
}

double sum(const SelectorReport& report, double HeadReport::*number) {
  double out = 0;
  for (const auto& layer : report.heads)
    for (const HeadReport& head : layer) out += head.*number;
  return out;
}

std::vector<TinyRun> runs() {
  TinyRun causal{.shape = tiny_shape()}, blocks = causal, layers = causal, globals = causal;
  blocks.shape.attention.visibility.causal = false, blocks.query_block = 4, blocks.shape.attention.share_rows = 8;
  layers.shape.sketch_per_layer = true, layers.shape.attention.pick_heads = 4;
  layers.shape.pattern = {Pattern::Window, Pattern::Sparse};
  globals.shape.attention.global_positions = {0, 7}, globals.shape.attention.visibility.prefix = 9;
  return {causal, blocks, layers, globals};
}

TEST(SelectorReport, ChangesNothingAndAgreesWithTheProbes) {
  for (const TinyRun& run : runs()) {
    const Looked looked = look(run);
    EXPECT_EQ(looked.loss, looked.loss_without);
    const double rows = sum(looked.report, &HeadReport::rows), domain = sum(looked.report, &HeadReport::domain);
    EXPECT_NEAR(sum(looked.report, &HeadReport::band) + domain, rows, 1e-9 * rows);
    EXPECT_NEAR(looked.probes.all, rows, 1e-9 * rows);
    EXPECT_NEAR(looked.probes.domain, domain, 1e-9 * domain);
    double uniform = 0;
    for (const auto& layer : looked.report.heads)
      for (const HeadReport& head : layer) uniform += head.at_picks.uniform;
    EXPECT_NEAR(looked.probes.uniform, uniform, 1e-9 * uniform);
  }
}

TEST(SelectorReport, WithAllKeysIsDenseAttention) {
  for (TinyRun run : runs()) {
    const Looked few = look(run);
    EXPECT_GT(sum(few.report, &HeadReport::error_square), 0);
    EXPECT_GT(sum(few.report, &HeadReport::variance), 0);
    run.shape.attention.picks = 100;
    const Looked all = look(run);
    EXPECT_LT(sum(all.report, &HeadReport::error_square), 1e-20);
    EXPECT_LT(sum(all.report, &HeadReport::variance), 1e-20);
    EXPECT_EQ(sum(all.report, &HeadReport::recall), sum(all.report, &HeadReport::blocks));
    for (const auto& layer : all.report.heads)
      for (const HeadReport& head : layer)
        for (double caught : {head.at_picks.sketch, head.at_picks.topk, head.at_picks.uniform, head.at_picks.oracle})
          EXPECT_NEAR(caught, head.domain, 1e-9 * head.domain);
  }
}

// Share of other ranks' rows that the run's own picks want, all its plans, counted by the ranks that made them.
double phi_of_ranks(const TinyRun& run, int ranks) {
  PlanStats all;
  std::mutex lock;
  run_thread_ranks(ranks, [&](Communicator& group) {
    const TinyRank rank(run, group);
    const at::NoGradGuard no_grad;
    const Forward forward = rank.forward(-1);
    const std::lock_guard guard(lock);
    all.add(forward.stats);
  });
  EXPECT_GT(all.remote, 0);
  return static_cast<double>(all.picked_remote) / static_cast<double>(all.remote);
}

TEST(SelectorReport, TellsThePhiThatRanksCount) {
  for (TinyRun run : runs()) {
    run.lengths = {150};
    const SelectorReport report = look(run).report;
    int compared = 0;
    for (const TrafficReport& choice : report.traffic) {
      run.query_block = static_cast<int>(choice.query_block);
      run.shape.attention.share_rows = choice.share_rows;
      if (run.shape.sketch_per_layer && choice.query_block != report.traffic.front().query_block) continue;
      for (size_t i = 0; i < 2; ++i, ++compared)  // 2 and 4 ranks
        EXPECT_NEAR(choice.phi[i] / choice.draws, phi_of_ranks(run, kTrafficRanks[i]), 1e-12)
            << "b " << choice.query_block << ", g " << choice.share_rows << ", P " << kTrafficRanks[i];
    }
    EXPECT_GE(compared, 6);
  }
}

}  // namespace
}  // namespace smartbird::testing
