// One pass of evaluation.
#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "train/micro_steps.h"
#include "train/seen_before.h"
#include "train/setup.h"
#include "train/totals.h"

namespace smartbird {

std::map<std::string, double> evaluate(const StepSetup& setup, const Corpus& corpus,
                                       const std::function<bool()>& stop) {
  const at::NoGradGuard no_grad;
  const Options& o = setup.options;
  const Sampler sampler = evaluation_sampler(o, corpus);
  int64_t end = sampler.epoch_begin(1);
  SB_CHECK(end > 0, Data, "evaluation: the corpus has no sequence");
  if (o.eval.sequences > 0) end = std::min(end, o.eval.sequences);
  std::optional<SeenBefore> seen_before;
  if (o.eval.seen_before != "off") seen_before.emplace(o.eval.seen_before, corpus, sampler);
  StageTimer timer;
  Totals totals;
  double targets = 0, seen = 0;
  std::vector<double> by_label(std::max<size_t>(1, corpus.classes().size()), 0.0);
  for (int64_t next = 0; next < end;) {
    if (stop && stop()) return {};
    std::vector<Sample> batch = sampler.batch(next, o.train.batch_tokens);
    if (static_cast<int64_t>(batch.size()) > end - next) batch.resize(static_cast<size_t>(end - next));
    next += static_cast<int64_t>(batch.size());
    const auto micro_steps =
        micro_steps_of(setup, corpus, batch, o.train.micro_tokens, philox_key(0, 0, Purpose::Evaluate));
    targets += count_targets(setup, micro_steps, batch);
    seen += static_cast<double>(batch.size());
    if (setup.task == Task::Classify)
      for (const Sample& sample : batch) by_label[static_cast<size_t>(corpus.document(sample.document).label)] += 1;
    for (const MicroStep& micro : micro_steps) {
      const StepContext context{setup.world, micro.layout, timer, 0, 0, Phase::Evaluate, setup.link};
      const Forward forward = setup.model.forward(
          context, micro.stream, {.task = setup.task, .probe_rate = -1, .dense = o.eval.draw == "dense"});
      totals.add(forward, micro.stream);
      if (seen_before) seen_before->add(micro.layout, micro.stream, forward);
    }
  }
  totals.reduce(setup.world);
  SB_CHECK(targets > 0, Data, "evaluation: none of ", seen, " sequences has a target that counts");
  std::map<std::string, double> values{
      {"loss", totals.loss / targets}, {"accuracy", totals.correct / targets}, {"sequences", seen}};
  if (setup.task != Task::Classify && totals.bytes > 0)
    values["bits_per_byte"] = totals.loss / std::log(2.0) / totals.bytes;
  if (setup.task == Task::Classify)
    values["majority_accuracy"] = *std::max_element(by_label.begin(), by_label.end()) / seen;
  if (seen_before) seen_before->report(setup.world, values);
  return values;
}

}  // namespace smartbird
