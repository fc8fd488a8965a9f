// The training loop and what surrounds it.
#include "train/trainer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "config/rules.h"
#include "core/error.h"
#include "train/run_folder.h"
#include "train/setup.h"
#include "train/step.h"
#include "train/stop_signal.h"
#include "train/whiten.h"

namespace smartbird {
namespace {

constexpr int64_t kWhiteningSequences = 1024;  // read for the mean and covariance of pooled rows

// Everything a run owns, in the order of its creation.
class Trainer {
 public:
  Trainer(const World& world, ParsedOptions options, RunKind kind, const std::string& command_line);
  int run();

 private:
  void start(const std::string& command_line);
  void start_from_checkpoint();
  void resume(const std::string& folder);
  bool evaluate_now(const Corpus& corpus, const char* split);
  void save();
  [[nodiscard]] bool last_step_done(int64_t last) const { return state_.step >= last; }
  [[nodiscard]] StepSetup setup() { return {world_, *model_, options_.options, task_}; }

  const World& world_;
  ParsedOptions options_;
  RunKind kind_;
  Task task_;
  Corpora data_;
  std::unique_ptr<Transformer> model_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Metrics> metrics_;
  TrainerState state_;
  Stopwatch watch_;
  double wall_before_s_ = 0;
  int64_t saved_step_ = -1, resumed_step_ = -1;
};

Trainer::Trainer(const World& world, ParsedOptions options, RunKind kind, const std::string& command_line)
    : world_(world),
      options_(std::move(options)),
      kind_(kind),
      task_(task_from_name(options_.options.data.task)),
      data_(open_corpora(options_.options, kind == RunKind::Finetune ? classes_of_checkpoint(options_.options)
                                                                     : std::vector<std::string>{})) {
  const Options& o = options_.options;
  model_ = std::make_unique<Transformer>(
      make_shape(o, data_.train->tokenizer().vocabulary(), static_cast<int64_t>(data_.train->classes().size())),
      o.run.dtype == "float64" ? at::kDouble : at::kFloat, static_cast<uint64_t>(o.run.seed));
  sampler_ = std::make_unique<Sampler>(*data_.train, SamplerOptions{.seed = static_cast<uint64_t>(o.run.seed),
                                                                    .sequence_tokens = o.data.sequence_tokens,
                                                                    .cut_documents = task_ != Task::Classify,
                                                                    .fixed = false});
  optimizer_ = std::make_unique<Optimizer>(world_, model_->parameters(), o.train);
  start(command_line);
}

void Trainer::start(const std::string& command_line) {
  const Options& o = options_.options;
  const std::string folder = checkpoint_to_resume(world_, o);
  if (world_.is_root()) prepare_run_folder(o.run.dir, dump_ini(options_), command_line);
  world_.everyone().barrier();
  if (!folder.empty()) resume(folder);
  if (folder.empty() && kind_ == RunKind::Finetune) start_from_checkpoint();
  if (!world_.is_root()) return;
  metrics_ = std::make_unique<Metrics>(o.run.dir, state_.step, o.train.steps, o.run.progress, o.run.log_every);
  metrics_->message(banner(world_, o, *model_, data_));
  if (!folder.empty()) metrics_->message(join("resumed from ", folder, " at step ", state_.step));
}

void Trainer::start_from_checkpoint() {
  const auto fresh = load_initial_weights(world_, options_.options, model_->parameters());
  if (std::find(fresh.begin(), fresh.end(), "classifier.whitening") != fresh.end())
    whiten_label_head(setup(), *data_.train, *sampler_, kWhiteningSequences);
}

void Trainer::resume(const std::string& folder) {
  check_resume(folder, options_);
  load_weights(folder, model_->parameters(), MissingWeights::Refuse);
  load_optimizer(folder, model_->parameters(), optimizer_->shard());
  state_ = read_trainer_state(folder);
  wall_before_s_ = state_.wall_s;
  saved_step_ = resumed_step_ = state_.step;
}

void Trainer::save() {
  if (saved_step_ == state_.step) return;
  const Options& o = options_.options;
  state_.wall_s = wall_before_s_ + watch_.elapsed_ms() * 1e-3;
  const CheckpointMeta meta{dump_ini(options_), data_.train->tokenizer().to_json(), data_.train->classes()};
  const std::string folder = save_checkpoint(world_, o.run.dir, model_->parameters(), optimizer_->shard(), state_, meta,
                                             o.checkpoint.keep_last);
  saved_step_ = state_.step;
  if (metrics_) metrics_->message(join("checkpoint ", folder));
}

// True when the metric is better than all before.
bool Trainer::evaluate_now(const Corpus& corpus, const char* split) {
  const Options& o = options_.options;
  const auto values = evaluate(setup(), corpus);
  if (metrics_) metrics_->evaluation({state_.step, split, values});
  const double value = values.at(o.eval.metric);
  const bool better =
      state_.best_step < 0 || (o.eval.metric == "loss" ? value < state_.best_metric : value > state_.best_metric);
  if (!better) {
    ++state_.evaluations_without_gain;
    return false;
  }
  state_.best_metric = value, state_.best_step = state_.step, state_.evaluations_without_gain = 0;
  return true;
}

int Trainer::run() {
  const Options& o = options_.options;
  catch_stop_signals();
  const int64_t last = o.train.stop_after > 0 ? std::min(o.train.stop_after, o.train.steps) : o.train.steps;
  if (last_step_done(last) && metrics_)
    metrics_->message(join("nothing left to do: step ", state_.step, " of ", last, " is done"));
  bool stopped = false, patience_over = false;
  while (!last_step_done(last) && !patience_over) {
    const std::vector<Sample> batch = sampler_->batch(state_.next_sample, o.train.batch_tokens);
    StepRecord record = train_step(setup(), *optimizer_, *data_.train, batch, state_.step + 1);
    ++state_.step;
    state_.next_sample += static_cast<int64_t>(batch.size());
    state_.tokens += record.tokens;
    record.tokens = state_.tokens;
    if (metrics_) metrics_->step(record);
    if (o.eval.every > 0 && data_.valid && state_.step % o.eval.every == 0 && !last_step_done(last)) {
      if (evaluate_now(*data_.valid, "valid")) save();
      patience_over = o.train.patience > 0 && state_.evaluations_without_gain >= o.train.patience;
    }
    stopped = world_.everyone().reduce_value("stop", int64_t{stop_requested()}, ReduceOp::Max) != 0;
    if (stopped) break;
    if (o.checkpoint.every > 0 && state_.step % o.checkpoint.every == 0) save();
  }
  save();
  if (stopped) {
    if (metrics_)
      metrics_->finish(
          join("stopped by a signal after step ", state_.step, "; run again with --run.resume=auto to go on"));
    return kExitResumable;
  }
  const Corpus* at_end = data_.test ? data_.test.get() : data_.valid.get();
  const bool complete = state_.step >= o.train.steps || patience_over;
  if (complete && at_end != nullptr && o.eval.at_end == "on") evaluate_now(*at_end, data_.test ? "test" : "valid");
  if (metrics_)
    metrics_->finish(join("done: step ", state_.step, " of ", o.train.steps, ", ", state_.tokens,
                          " tokens, checkpoint in ", o.run.dir, "/checkpoints"));
  return 0;
}

}  // namespace

int train(const World& world, ParsedOptions options, RunKind kind, const std::string& command_line) {
  check_rules(options.options, world.everyone().size());
  set_threads(world, options.options.run.threads);
  return Trainer(world, std::move(options), kind, command_line).run();
}

int evaluate_checkpoint(const World& world, const std::string& folder, const ParsedOptions& parsed) {
  const Options& o = parsed.options;
  check_rules(o, world.everyone().size());
  set_threads(world, o.run.threads);
  const CheckpointMeta meta = read_checkpoint_meta(folder);
  const std::string key = o.data.test.empty() ? "data.valid" : "data.test";
  const auto& sources = o.data.test.empty() ? o.data.valid : o.data.test;
  SB_CHECK(!sources.empty(), Config, "evaluate: neither data.test nor data.valid is given; add --data.test=PATH");
  const auto corpus = open_corpus(key, sources, evaluation_data(o), meta.classes);
  check_tokenizer(*corpus, meta, key);
  Transformer model(make_shape(o, corpus->tokenizer().vocabulary(), static_cast<int64_t>(meta.classes.size())),
                    o.run.dtype == "float64" ? at::kDouble : at::kFloat, static_cast<uint64_t>(o.run.seed));
  load_weights(folder, model.parameters(), MissingWeights::Refuse);
  const auto values = evaluate({world, model, o, task_from_name(o.data.task)}, *corpus);
  if (!world.is_root()) return 0;
  for (const auto& [name, value] : values) std::printf("%s: %.6g\n", name.c_str(), value);
  return 0;
}

}  // namespace smartbird
