// The training loop and what surrounds it.
#include "train/trainer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "config/auto_pattern.h"
#include "core/error.h"
#include "train/agree.h"
#include "train/choose_pattern.h"
#include "train/picks_recorder.h"
#include "train/run_folder.h"
#include "train/setup.h"
#include "train/sketch_watch.h"
#include "train/step.h"
#include "train/stop_signal.h"
#include "train/whiten.h"

namespace smartbird {
namespace {

constexpr int64_t kWhiteningSequences = 1024;  // read for the mean and covariance of pooled rows

// Everything a run owns, in the order of its creation.
class Trainer {
 public:
  Trainer(const World& world, ParsedOptions options, RunKind kind, at::Device device);
  int run(const RunStart& start);

 private:
  void make_model(at::Device device);
  bool choose_auto_pattern();
  bool start_from_checkpoint();
  bool begin(RunKind kind);
  void resume(const std::string& folder);
  [[nodiscard]] bool nothing_left() const;
  void open_run_folder(const RunStart& start);
  void take_step();
  [[nodiscard]] bool evaluation_due() const;
  bool evaluate_if_due();
  bool evaluate_at_end();
  std::map<std::string, double> measure(const Corpus& corpus, const char* split);
  bool judge(const std::map<std::string, double>& values);
  void save();
  void save_on_the_way();
  int finish(bool stopped);
  [[nodiscard]] bool stop_agreed() const;
  [[nodiscard]] bool patience_over() const;
  [[nodiscard]] bool complete() const;
  [[nodiscard]] int64_t last_step() const;
  [[nodiscard]] const char* end_split() const;
  [[nodiscard]] StepSetup setup() { return {world_, *model_, options_.options, task_, link_}; }

  const World& world_;
  ParsedOptions options_;
  Task task_;
  Link link_;
  Corpora data_;
  std::unique_ptr<Transformer> model_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<RunLock> lock_;
  std::unique_ptr<Metrics> metrics_;
  std::optional<SketchWatch> sketch_watch_;
  TrainerState state_;
  Stopwatch watch_;
  double wall_before_s_ = 0;
  int64_t saved_step_ = -1;
};

Trainer::Trainer(const World& world, ParsedOptions options, RunKind kind, at::Device device)
    : world_(world),
      options_(std::move(options)),
      task_(task_from_name(options_.options.data.task)),
      link_(link_of(world_, options_.options, device)),
      data_(open_corpora(options_.options, kind == RunKind::Finetune ? classes_of_checkpoint(options_.options)
                                                                     : std::vector<std::string>{})) {
  const Options& o = options_.options;
  check_same_data(world_, "data.train", *data_.train);
  if (data_.valid) check_same_data(world_, "data.valid", *data_.valid);
  if (data_.test) check_same_data(world_, "data.test", *data_.test);
  make_model(device);
  sampler_ = std::make_unique<Sampler>(*data_.train, SamplerOptions{.seed = static_cast<uint64_t>(o.run.seed),
                                                                    .sequence_tokens = o.data.sequence_tokens,
                                                                    .cut_documents = task_ != Task::Classify,
                                                                    .fixed = false});
}

void Trainer::make_model(at::Device device) {
  const Options& o = options_.options;
  optimizer_.reset(), model_.reset();  // never two at a time
  model_ = std::make_unique<Transformer>(
      make_shape(o, data_.train->tokenizer().vocabulary(), static_cast<int64_t>(data_.train->classes().size())),
      weights_of(o, device), static_cast<uint64_t>(o.run.seed));
  if (o.train.freeze == "model") model_->parameters().freeze_model();
  optimizer_ = std::make_unique<Optimizer>(world_, model_->parameters(), o.train);
  sketch_watch_.emplace(o);
}

// False when a signal came in between.
bool Trainer::choose_auto_pattern() {
  if (world_.is_root()) std::puts("attention.pattern = auto: timing steps densely and sparsely"), std::fflush(stdout);
  const auto choice = choose_pattern(setup(), *data_.train, *sampler_, [this] { return stop_agreed(); });
  if (!choice) return false;
  if (world_.is_root()) std::printf("attention.pattern = %s\n", to_text(*choice).c_str());
  settle_auto_pattern(options_, choice->dense ? "dense" : "sparse", ", " + to_text(*choice));
  if (choice->dense) make_model(model_->parameters().device());  // one without a sketch
  return true;
}

// False when a signal came in between.
bool Trainer::start_from_checkpoint() {
  const auto fresh = load_initial_weights(world_, options_.options, *data_.train, model_->parameters());
  return std::find(fresh.begin(), fresh.end(), "classifier.whitening") == fresh.end() ||
         whiten_label_head(setup(), *data_.train, *sampler_, kWhiteningSequences, [this] { return stop_agreed(); });
}

// What comes before the first step of a fresh run. False when a signal came in between.
bool Trainer::begin(RunKind kind) {
  if (has_auto_pattern(options_.options) && !choose_auto_pattern()) return false;
  return kind != RunKind::Finetune || start_from_checkpoint();
}

void Trainer::resume(const std::string& folder) {
  check_tokenizer(*data_.train, read_checkpoint_meta(folder), "data.train");
  load_weights(folder, model_->parameters(), MissingWeights::Refuse);
  load_optimizer(folder, model_->parameters(), optimizer_->shard());
  state_ = read_trainer_state(folder);
  check_agreement(world_.everyone(), "checkpoint", join(folder, " ", state_.step, " ", state_.next_sample));
  wall_before_s_ = state_.wall_s;
  saved_step_ = state_.step;
}

int64_t Trainer::last_step() const {
  const TrainOptions& train = options_.options.train;
  return train.stop_after > 0 ? std::min(train.stop_after, train.steps) : train.steps;
}

bool Trainer::patience_over() const {
  const int64_t patience = options_.options.train.patience;
  return patience > 0 && state_.evaluations_without_gain >= patience;
}

bool Trainer::complete() const { return state_.step >= options_.options.train.steps || patience_over(); }

// What the run is judged by at its end, nullptr if by nothing.
const char* Trainer::end_split() const {
  if (options_.options.eval.at_end != "on" || (!data_.test && !data_.valid)) return nullptr;
  return data_.test ? "test" : "valid";
}

// Of a resumed run: no step to take and no evaluation to make. The same on all ranks.
bool Trainer::nothing_left() const {
  if (evaluation_due()) return false;
  if (!complete()) return state_.step >= last_step();
  const char* split = end_split();
  const bool judged = split == nullptr || (!data_.test && state_.evaluated_step == state_.step) ||
                      (world_.is_root() && evaluation_recorded(options_.options.run.dir, split, state_.step));
  return world_.everyone().reduce_value("judged", int64_t{judged}, ReduceOp::Max) != 0;
}

void Trainer::open_run_folder(const RunStart& start) {
  const Options& o = options_.options;
  if (world_.is_root()) {
    if (o.run.record_picks > 0) make_picks_folder(o.run.dir);
    lock_ = prepare_run_folder(o.run.dir, dump_ini(options_), start.command_line);
    if (!start.resume_from.empty()) make_latest(o.run.dir, start.resume_from);
    metrics_ = std::make_unique<Metrics>(o.run.dir, state_.step, o.train.steps, o.run.progress, o.run.log_every);
    metrics_->message(banner(world_, o, *model_, data_, link_));
    if (!start.resume_from.empty())
      metrics_->message(join("resumed from ", start.resume_from, " at step ", state_.step));
  }
  warn_of_small_data(world_, o, *data_.train);
  world_.everyone().barrier();
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

// A save that fails between steps is told, not the end: the last good checkpoint is still there, and room may come.
void Trainer::save_on_the_way() {
  try {
    save();
  } catch (const Error& e) {  // the same on all ranks
    if (e.kind() != ErrorKind::Io) throw;
    if (world_.is_root()) std::fprintf(stderr, "error: %s; the run goes on\n", e.what());
  }
}

bool Trainer::stop_agreed() const {
  return world_.everyone().reduce_value("stop", int64_t{stop_requested()}, ReduceOp::Max) != 0;
}

// Empty when a signal came in between.
std::map<std::string, double> Trainer::measure(const Corpus& corpus, const char* split) {
  auto values = evaluate(setup(), corpus, [this] { return stop_agreed(); });
  if (metrics_ && !values.empty()) metrics_->evaluation({state_.step, split, values});
  return values;
}

// True when the metric is better than all before.
bool Trainer::judge(const std::map<std::string, double>& values) {
  const std::string& metric = options_.options.eval.metric;
  const double value = values.at(metric);
  const bool better =
      state_.best_step < 0 || (metric == "loss" ? value < state_.best_metric : value > state_.best_metric);
  state_.evaluated_step = state_.step;
  state_.evaluations_without_gain = better ? 0 : state_.evaluations_without_gain + 1;
  if (better) state_.best_metric = value, state_.best_step = state_.step;
  return better;
}

bool Trainer::evaluation_due() const {
  const int64_t every = options_.options.eval.every;
  return every > 0 && data_.valid && state_.step > 0 && state_.step % every == 0 &&
         state_.evaluated_step != state_.step;
}

// True when a signal came in between; a resume takes up the evaluation that is missing.
bool Trainer::evaluate_if_due() {
  if (!evaluation_due()) return false;
  const auto values = measure(*data_.valid, "valid");
  if (values.empty()) return true;
  saved_step_ = -1;  // a checkpoint of this step, if there is one, does not know of the evaluation
  if (judge(values)) save_on_the_way();
  return false;
}

// True when a signal came in between.
bool Trainer::evaluate_at_end() {
  if (!complete() || end_split() == nullptr || (!data_.test && state_.evaluated_step == state_.step)) return false;
  return measure(data_.test ? *data_.test : *data_.valid, end_split()).empty();
}

void Trainer::take_step() {
  const std::vector<Sample> batch = sampler_->batch(state_.next_sample, options_.options.train.batch_tokens);
  StepRecord record = train_step(setup(), *optimizer_, *data_.train, batch, state_.step + 1);
  ++state_.step;
  state_.next_sample += static_cast<int64_t>(batch.size());
  state_.tokens += record.tokens;
  record.tokens = state_.tokens;
  if (!metrics_) return;
  metrics_->step(record);
  if (const std::string warning = sketch_watch_->step(record); !warning.empty()) metrics_->message(warning);
}

int Trainer::finish(bool stopped) {
  const Options& o = options_.options;
  if (!metrics_) return stopped ? kExitResumable : 0;
  if (stopped)
    metrics_->finish(
        join("stopped by a signal after step ", state_.step, "; run again with --run.resume=auto to go on"));
  else
    metrics_->finish(join(
        state_.step < o.train.steps && patience_over() ? "done early, train.patience is over: step " : "done: step ",
        state_.step, " of ", o.train.steps, ", ", state_.tokens, " tokens, checkpoint in ", o.run.dir, "/checkpoints"));
  return stopped ? kExitResumable : 0;
}

int Trainer::run(const RunStart& start) {
  const Options& o = options_.options;
  if (!start.resume_from.empty()) resume(start.resume_from);
  if (!start.resume_from.empty() && nothing_left()) {
    if (world_.is_root())
      std::printf("nothing left to do: the run in %s is %s at step %lld of %lld\n", o.run.dir.c_str(),
                  complete() ? "finished" : "where train.stop_after ends it,", static_cast<long long>(state_.step),
                  static_cast<long long>(o.train.steps));
    return 0;
  }
  if (start.resume_from.empty() && !begin(start.kind)) {
    if (world_.is_root()) std::puts("stopped by a signal before the first step; nothing was written, run it again");
    return kExitResumable;
  }
  open_run_folder(start);
  bool stopped = stop_agreed() || evaluate_if_due();
  while (!stopped && state_.step < last_step() && !patience_over()) {
    take_step();
    stopped = evaluate_if_due() || stop_agreed();
    if (!stopped && o.checkpoint.every > 0 && state_.step % o.checkpoint.every == 0) save_on_the_way();
  }
  save();
  return finish(stopped || evaluate_at_end());
}

}  // namespace

int train(const World& world, ParsedOptions options, const RunStart& start, at::Device device) {
  catch_stop_signals();
  set_threads(world, options.options.run.threads);
  return Trainer(world, std::move(options), start.kind, device).run(start);
}

}  // namespace smartbird
