// One step, in one direction: samples -> packed streams -> forward -> backward (task, then sketch) -> reduce, clip,
// update, gather -> record. No number here is divided by the number of ranks: every loss is a sum over ranks divided by
// a global count.
#include "train/step.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "ops/tensors.h"
#include "train/schedule.h"
#include "train/totals.h"

namespace smartbird {
namespace {

struct MicroStep {
  Layout layout;
  Stream stream;
};

Layout make_layout(const StepSetup& setup, const std::vector<Sample>& samples) {
  return Layout(sequences_of(samples), static_cast<int>(setup.options.attention.query_block), setup.world.sequence().size(),
                setup.options.parallel.layout == "zigzag" ? LayoutKind::Zigzag : LayoutKind::Contiguous);
}

// My replica's micro-steps of a batch; mask_key: of mlm.
std::vector<MicroStep> prepare(const StepSetup& setup, const Corpus& corpus, const std::vector<Sample>& batch, int64_t micro_tokens,
                               PhiloxKey mask_key) {
  std::vector<MicroStep> out;
  for (const auto& replicas : deal(batch, setup.world.num_replicas(), micro_tokens)) {
    const std::vector<Sample>& samples = replicas[static_cast<size_t>(setup.world.replica())];
    Layout layout = make_layout(setup, samples);
    Stream stream = make_stream(corpus, layout, samples, setup.world.sequence().rank(), setup.task, setup.options.data.mask_share, mask_key);
    out.push_back({std::move(layout), std::move(stream)});
  }
  return out;
}

int64_t num_blocks(const std::vector<Sample>& batch, int64_t query_block) {
  int64_t blocks = 0;
  for (const Sample& sample : batch) blocks += (sample.length + query_block - 1) / query_block;
  return blocks;
}

int64_t num_tokens(const std::vector<Sample>& batch) {
  int64_t tokens = 0;
  for (const Sample& sample : batch) tokens += sample.length;
  return tokens;
}

// Targets that count, over all ranks and micro-steps: known before the first forward pass.
double count_targets(const StepSetup& setup, const std::vector<MicroStep>& micro_steps, const std::vector<Sample>& batch) {
  if (setup.task == Task::Classify) return static_cast<double>(batch.size());
  int64_t counted = 0;
  for (const MicroStep& micro : micro_steps) counted += micro.stream.counted;
  return static_cast<double>(setup.world.everyone().reduce_value("counts", counted, ReduceOp::Sum));
}

void forward_backward(const StepSetup& setup, const StepContext& context, const MicroStep& micro, const ForwardOptions& options,
                      double targets, Totals& totals) {
  StageTimer& timer = context.timer;
  Forward forward;
  {
    const auto timing = timer.measure("forward");
    forward = setup.model.forward(context, micro.stream, options);
  }
  const auto timing = timer.measure("backward");
  torch::autograd::backward({forward.task_loss / std::max(1.0, targets)}, {});
  if (forward.sketch_loss.defined()) torch::autograd::backward({forward.sketch_loss}, {});
  totals.add(forward, micro.stream);
}

}  // namespace

StepRecord train_step(const StepSetup& setup, Optimizer& optimizer, const Corpus& corpus, const std::vector<Sample>& batch, int64_t step) {
  const Options& o = setup.options;
  const Stopwatch watch;
  StageTimer timer;
  clear_sent_bytes(setup.world);
  const uint64_t seed = static_cast<uint64_t>(o.run.seed);
  const auto micro_steps = prepare(setup, corpus, batch, o.train.micro_tokens, philox_key(seed, static_cast<uint64_t>(step), Purpose::MaskTokens));
  const double targets = count_targets(setup, micro_steps, batch);
  timer.add("data", watch.elapsed_ms());

  ForwardOptions options{.task = setup.task, .body_frozen = o.train.learning_rate == 0, .independent = step <= o.attention.share_warmup_steps};
  options.probe_rate = o.sketch.probes == 0 ? -1.0 : static_cast<double>(o.sketch.probes) / static_cast<double>(num_blocks(batch, o.attention.query_block));
  setup.model.parameters().zero_grad();
  Totals totals;
  for (const MicroStep& micro : micro_steps) {
    const StepContext context{setup.world, micro.layout, timer, seed, step, Phase::Train};
    forward_backward(setup, context, micro, options, targets, totals);
  }
  totals.reduce(setup.world);
  const GradNorms norms = optimizer.step(step, totals.mass.all > 0 && totals.mass.domain > 0 ? 1 / totals.mass.domain : 0.0, timer);

  StepRecord record = totals.record(setup.world, targets);
  record.step = step;
  record.tokens = num_tokens(batch);
  if (setup.task == Task::Classify) record.bits_per_byte = -1;
  record.plan = o.exchange.plan;
  record.grad_norm = norms.model, record.sketch_grad_norm = norms.sketch;
  record.lr = o.train.learning_rate * schedule_factor(o.train, step);
  record.step_ms = timer.total_ms();
  record.step_ms["total"] = watch.elapsed_ms();
  record.tokens_per_s = static_cast<double>(record.tokens) / (watch.elapsed_ms() * 1e-3);
  return record;
}

std::map<std::string, double> evaluate(const StepSetup& setup, const Corpus& corpus) {
  const at::NoGradGuard no_grad;
  const Options& o = setup.options;
  const Sampler sampler(corpus, {.seed = 0, .sequence_tokens = o.data.sequence_tokens, .cut_documents = setup.task != Task::Classify, .fixed = true});
  int64_t end = sampler.epoch_begin(1);
  SB_CHECK(end > 0, Data, "evaluation: the corpus has no sequence");
  if (o.eval.sequences > 0) end = std::min(end, o.eval.sequences);
  StageTimer timer;
  Totals totals;
  double targets = 0, seen = 0;
  std::vector<double> by_label(std::max<size_t>(1, corpus.classes().size()), 0.0);
  for (int64_t next = 0; next < end;) {
    std::vector<Sample> batch = sampler.batch(next, o.train.batch_tokens);
    if (static_cast<int64_t>(batch.size()) > end - next) batch.resize(static_cast<size_t>(end - next));
    next += static_cast<int64_t>(batch.size());
    const auto micro_steps = prepare(setup, corpus, batch, o.train.micro_tokens, philox_key(0, 0, Purpose::Evaluate));
    targets += count_targets(setup, micro_steps, batch);
    seen += static_cast<double>(batch.size());
    if (setup.task == Task::Classify)
      for (const Sample& sample : batch) by_label[static_cast<size_t>(corpus.document(sample.document).label)] += 1;
    for (const MicroStep& micro : micro_steps) {
      const StepContext context{setup.world, micro.layout, timer, 0, 0, Phase::Evaluate};
      const Forward forward = setup.model.forward(context, micro.stream, {.task = setup.task, .probe_rate = -1, .dense = o.eval.draw == "dense"});
      totals.add(forward, micro.stream);
    }
  }
  totals.reduce(setup.world);
  SB_CHECK(targets > 0, Data, "evaluation: none of ", seen, " sequences has a target that counts");
  std::map<std::string, double> values{{"loss", totals.loss / targets}, {"accuracy", totals.correct / targets}, {"sequences", seen}};
  if (setup.task != Task::Classify && totals.bytes > 0) values["bits_per_byte"] = totals.loss / std::log(2.0) / totals.bytes;
  if (setup.task == Task::Classify) values["majority_accuracy"] = *std::max_element(by_label.begin(), by_label.end()) / seen;
  return values;
}

}  // namespace smartbird
