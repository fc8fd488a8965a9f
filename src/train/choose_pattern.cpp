// Trials in turns: one pass each to warm up, then the faster of two.
#include "train/choose_pattern.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "core/error.h"
#include "train/pass.h"

namespace smartbird {
namespace {

constexpr int64_t kFirstTokens = 1024;  // of a sequence, for each rank that shares it
constexpr int64_t kGrowth = 4;
constexpr int kTimed = 2;
constexpr size_t kBatches = 15;  // that are looked at for a usual one

// Of all pairs of two tokens, in proportion.
double pairs(const std::vector<Sample>& batch) {
  double sum = 0;
  for (const Sample& sample : batch) sum += static_cast<double>(sample.length) * static_cast<double>(sample.length);
  return sum;
}

// A first batch may be the short tail of a document.
std::vector<Sample> usual_batch(const Sampler& sampler, int64_t batch_tokens) {
  std::vector<std::vector<Sample>> batches;
  for (int64_t next = 0; batches.size() < kBatches; next += static_cast<int64_t>(batches.back().size()))
    batches.push_back(sampler.batch(next, batch_tokens));
  const auto median = batches.begin() + kBatches / 2;
  std::nth_element(batches.begin(), median, batches.end(),
                   [](const auto& a, const auto& b) { return pairs(a) < pairs(b); });
  return *median;
}

// What is to be predicted may all lie at the end.
std::vector<Sample> ends(std::vector<Sample> batch, int64_t tokens) {
  for (Sample& sample : batch) {
    sample.begin += std::max<int64_t>(0, sample.length - tokens);
    sample.length = std::min(sample.length, tokens);
  }
  return batch;
}

int64_t longest(const std::vector<Sample>& batch) {
  int64_t tokens = 0;
  for (const Sample& sample : batch) tokens = std::max(tokens, sample.length);
  return tokens;
}

// A step without its update.
class Trial {
 public:
  Trial(const StepSetup& setup, const Corpus& corpus, const std::vector<Sample>& batch)
      : setup_(setup),
        seed_(static_cast<uint64_t>(setup.options.run.seed)),
        micro_steps_(micro_steps_of(setup, corpus, batch, setup.options.train.micro_tokens,
                                    philox_key(seed_, 1, Purpose::MaskTokens))),
        targets_(static_cast<double>(batch.size())),
        probe_rate_(probe_rate(setup.options, batch)) {}

  // Milliseconds of the slowest rank with these layers.
  double run(Pattern pattern) const {
    setup_.model.parameters().zero_grad();
    setup_.world.everyone().barrier();
    const bool dense = pattern == Pattern::Dense;
    const ForwardOptions options{.task = setup_.task,
                                 .probe_rate = dense ? -1 : probe_rate_,
                                 .dense = dense,
                                 .body_frozen = setup_.options.train.learning_rate == 0};
    const Stopwatch watch;
    StageTimer timer;
    for (const MicroStep& micro : micro_steps_) {
      const StepContext context{setup_.world, micro.layout, timer, seed_, 1, Phase::Train, setup_.link};
      (void)run_pass(setup_, context, micro, options, targets_);
    }
    (void)setup_.model.parameters().flat_grad().sum().item<double>();  // a GPU is done only now
    return setup_.world.everyone().reduce_value("pattern", watch.elapsed_ms(), ReduceOp::Max);
  }

 private:
  const StepSetup& setup_;
  uint64_t seed_;
  std::vector<MicroStep> micro_steps_;
  double targets_, probe_rate_;
};

std::optional<PatternChoice> compare(const Trial& trial, int64_t tokens, const std::function<bool()>& stop) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  PatternChoice out{.tokens = tokens, .sparse_ms = kNever, .dense_ms = kNever};
  for (int turn = 0; turn <= kTimed; ++turn)
    for (const auto& [pattern, best] : {std::pair{Pattern::Sparse, &out.sparse_ms}, {Pattern::Dense, &out.dense_ms}}) {
      if (stop()) return std::nullopt;
      const double ms = trial.run(pattern);
      if (turn > 0) *best = std::min(*best, ms);
    }
  out.dense = out.dense_ms <= out.sparse_ms;
  return out;
}

}  // namespace

std::optional<PatternChoice> choose_pattern(const StepSetup& setup, const Corpus& corpus, const Sampler& sampler,
                                            const std::function<bool()>& stop) {
  const std::vector<Sample> whole = usual_batch(sampler, setup.options.train.batch_tokens);
  const int64_t most = longest(whole);
  std::optional<PatternChoice> choice;
  int64_t tokens = kFirstTokens * setup.world.sequence().size();
  do {
    choice = compare(Trial(setup, corpus, ends(whole, tokens)), std::min(tokens, most), stop);
    tokens *= kGrowth;
  } while (choice && choice->dense && choice->tokens < most);
  setup.model.parameters().zero_grad();
  return choice;
}

std::string to_text(const PatternChoice& c) {
  char times[160];
  std::snprintf(times, sizeof times,
                "a step over sequences of up to %lld tokens took %.1f ms densely, %.1f ms sparsely",
                static_cast<long long>(c.tokens), c.dense_ms, c.sparse_ms);
  return join("auto: ", c.dense ? "dense" : "sparse", ", ", times);
}

}  // namespace smartbird
