// Trials in turns: one pass each to warm up, then the faster of two.
#include "train/choose_pattern.h"

#include <algorithm>
#include <cstdio>

#include "core/error.h"
#include "train/pass.h"

namespace smartbird {
namespace {

constexpr int64_t kFirstTokens = 1024;  // of a sequence, for each rank that shares it
constexpr int64_t kGrowth = 4;
constexpr int kTimed = 2;

int64_t longest(const std::vector<Sample>& batch) {
  int64_t tokens = 0;
  for (const Sample& sample : batch) tokens = std::max(tokens, sample.length);
  return tokens;
}

// A pass over my first micro-step.
class Trial {
 public:
  Trial(const StepSetup& setup, const Corpus& corpus, const std::vector<Sample>& batch)
      : setup_(setup),
        seed_(static_cast<uint64_t>(setup.options.run.seed)),
        micro_(std::move(micro_steps_of(setup, corpus, batch, setup.options.train.micro_tokens,
                                        philox_key(seed_, 1, Purpose::MaskTokens))
                             .front())),
        targets_(static_cast<double>(batch.size())),
        probe_rate_(probe_rate(setup.options, batch)) {}

  // Milliseconds of the slowest rank.
  double run(bool dense) const {
    setup_.model.parameters().zero_grad();
    setup_.world.everyone().barrier();
    const Stopwatch watch;
    StageTimer timer;
    const StepContext context{setup_.world, micro_.layout, timer, seed_, 1, Phase::Train, setup_.link};
    const Forward forward = run_pass(setup_, context, micro_,
                                     {.task = setup_.task,
                                      .probe_rate = dense ? -1 : probe_rate_,
                                      .dense = dense,
                                      .body_frozen = setup_.options.train.learning_rate == 0},
                                     targets_);
    (void)setup_.model.parameters().flat_grad().sum().item<double>();  // a GPU is done only now
    return setup_.world.everyone().reduce_value("pattern", watch.elapsed_ms(), ReduceOp::Max);
  }

 private:
  const StepSetup& setup_;
  uint64_t seed_;
  MicroStep micro_;
  double targets_, probe_rate_;
};

PatternChoice compare(const Trial& trial, int64_t tokens) {
  PatternChoice out{.tokens = tokens};
  for (int turn = 0; turn <= kTimed; ++turn) {
    const double sparse = trial.run(false), dense = trial.run(true);
    if (turn == 0) continue;
    out.sparse_ms = turn == 1 ? sparse : std::min(out.sparse_ms, sparse);
    out.dense_ms = turn == 1 ? dense : std::min(out.dense_ms, dense);
  }
  out.dense = out.dense_ms <= out.sparse_ms;
  return out;
}

}  // namespace

PatternChoice choose_pattern(const StepSetup& setup, const Corpus& corpus, const Sampler& sampler) {
  const std::vector<Sample> whole = sampler.batch(0, setup.options.train.batch_tokens);
  const int64_t most = longest(whole);
  PatternChoice choice{.dense = true};
  for (int64_t tokens = kFirstTokens * setup.world.sequence().size(); choice.dense && choice.tokens < most;
       tokens *= kGrowth) {
    std::vector<Sample> cut = whole;
    for (Sample& sample : cut) {  // what is to be predicted may all lie at the end
      sample.begin += std::max<int64_t>(0, sample.length - tokens);
      sample.length = std::min(sample.length, tokens);
    }
    choice = compare(Trial(setup, corpus, cut), std::min(tokens, most));
  }
  setup.model.parameters().zero_grad();
  return choice;
}

std::string to_text(const PatternChoice& c) {
  char times[160];
  std::snprintf(times, sizeof times,
                "forward and backward over sequences of up to %lld tokens took %.1f ms densely, %.1f ms sampled",
                static_cast<long long>(c.tokens), c.dense_ms, c.sparse_ms);
  return join("auto: ", c.dense ? "dense" : "sparse", ", ", times);
}

}  // namespace smartbird
