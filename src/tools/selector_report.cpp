// The report of the first sequences of an evaluation, each a stream of its own.
#include "tools/selector_report.h"

#include <algorithm>

#include "config/rules.h"
#include "core/error.h"
#include "tools/selector_observer.h"
#include "train/micro_steps.h"
#include "train/setup.h"

namespace smartbird {

static constexpr int64_t kSequences = 8;
static constexpr double kBlocksOfSequence = 16;  // expected probe blocks

void check_selector_report(const Options& o, int num_ranks) {
  SB_CHECK(num_ranks == 1, Config, "evaluate: --sketch.report looks at all keys on one rank, here are ", num_ranks,
           "; start it without mpirun");
  SB_CHECK(draws_from_sketch(o), Config, "evaluate: --sketch.report with attention.draw = ", o.attention.draw,
           ", which asks no sketch; leave attention.draw out");
  SB_CHECK(o.eval.draw != "dense", Config,
           "evaluate: --sketch.report with eval.draw = dense, where nothing is drawn; add --eval.draw=same");
  SB_CHECK(o.attention.picks > 0, Config,
           "evaluate: --sketch.report with attention.picks = 0; add --attention.picks=K");
  std::string names;
  for (const std::string& name : o.attention.pattern) names += (names.empty() ? "" : ",") + name;
  SB_CHECK(has_sparse_layer(o), Config, "evaluate: --sketch.report with attention.pattern = ", names,
           ": no layer is sparse");
}

SelectorReport selector_report(const StepSetup& setup, const Corpus& corpus) {
  const at::NoGradGuard no_grad;
  const Options& o = setup.options;
  SelectorReport report = empty_report(setup.model.shape(), o.attention.query_block);
  report.draw = o.attention.draw, report.temperature = draw_temperature(o), report.floor = o.sketch.floor;
  report.fill = fills_budget(o);
  SelectorObserver observer(setup.model, kBlocksOfSequence, report);
  const Sampler sampler = evaluation_sampler(o, corpus);
  const int64_t end =
      std::min(sampler.epoch_begin(1), o.eval.sequences > 0 ? std::min(o.eval.sequences, kSequences) : kSequences);
  StageTimer timer;
  for (; report.sequences < end; ++report.sequences) {
    observer.begin_stream();
    for (const MicroStep& micro :
         micro_steps_of(setup, corpus, {sampler.at(report.sequences)}, 0, philox_key(0, 0, Purpose::Evaluate))) {
      const StepContext context{setup.world, micro.layout, timer, 0, 0, Phase::Evaluate, setup.link};
      (void)setup.model.forward(context, micro.stream, {.task = setup.task, .probe_rate = -1, .observer = &observer});
    }
  }
  return report;
}

}  // namespace smartbird
