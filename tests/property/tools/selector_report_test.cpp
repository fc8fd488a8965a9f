// Laws of the sketch report: it changes no bit of what it looks at; exact attention lies in the band or in E; with K >= |E| every
// choice holds all of E and the outputs are those of dense attention; its shares are those that the probes of training count.
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

}  // namespace
}  // namespace smartbird::testing
