// One step, in one direction: samples -> packed streams -> forward -> backward (task, then sketch) -> reduce, clip,
// update, gather -> record. No number here is divided by the number of ranks: every loss is a sum over ranks divided by
// a global count.
#include "train/step.h"

#include "train/agree.h"
#include "train/pass.h"
#include "train/picks_recorder.h"
#include "train/schedule.h"
#include "train/totals.h"

namespace smartbird {
namespace {

int64_t num_tokens(const std::vector<Sample>& batch) {
  int64_t tokens = 0;
  for (const Sample& sample : batch) tokens += sample.length;
  return tokens;
}

}  // namespace

StepRecord train_step(const StepSetup& setup, Optimizer& optimizer, const Corpus& corpus,
                      const std::vector<Sample>& batch, int64_t step) {
  const Options& o = setup.options;
  const Stopwatch watch;
  StageTimer timer;
  clear_counters(setup.world);
  const uint64_t seed = static_cast<uint64_t>(o.run.seed);
  const auto micro_steps = micro_steps_of(setup, corpus, batch, o.train.micro_tokens,
                                          philox_key(seed, static_cast<uint64_t>(step), Purpose::MaskTokens));
  const double targets = count_targets(setup, micro_steps, batch);
  timer.add("data", watch.elapsed_ms());

  ForwardOptions options{.task = setup.task,
                         .probe_rate = probe_rate(o, batch),
                         .body_frozen = o.train.learning_rate == 0,
                         .independent = step <= o.attention.share_warmup_steps};
  if (step <= o.attention.warmup_steps) {
    options.all_keys = o.attention.warmup_picks == 0;
    if (!options.all_keys) options.picks = o.attention.warmup_picks;
  }
  setup.model.parameters().zero_grad();
  Totals totals;
  PicksRecorder recorder(setup, step);
  for (const MicroStep& micro : micro_steps) {
    const StepContext context{setup.world, micro.layout, timer, seed, step, Phase::Train, setup.link};
    const Forward forward = run_pass(setup, context, micro, options, targets);
    const auto timing = timer.measure("backward");  // of which a GPU may still be at the last
    totals.add(forward, micro.stream);
    recorder.add(context, forward);
  }
  totals.reduce(setup.world);
  const GradNorms norms =
      optimizer.step(step, totals.mass.all > 0 && totals.mass.target > 0 ? 1 / totals.mass.target : 0.0, timer);

  if (o.run.check_comm) check_same_parameters(setup.world.everyone(), step, setup.model.parameters().flat());

  StepRecord record = totals.record(setup.world, targets);
  record.step = step;
  record.tokens = num_tokens(batch);
  if (setup.task == Task::Classify) record.bits_per_byte = -1;
  if (record.plan.empty()) record.plan = "rows";  // windows alone: their bands
  record.phi_by_layer_head = totals.phi_by_layer_head(setup.model.shape());
  record.grad_norm = norms.model, record.sketch_grad_norm = norms.sketch;
  record.lr = o.train.learning_rate * schedule_factor(o.train, step);
  record.step_ms = timer.total_ms();
  record.step_ms["total"] = watch.elapsed_ms();
  record.tokens_per_s = static_cast<double>(record.tokens) / (watch.elapsed_ms() * 1e-3);
  recorder.write(record);
  return record;
}

}  // namespace smartbird
