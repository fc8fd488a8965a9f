// Law: cutting a step into micro-steps, over replicas and over ranks changes no pick and, beyond rounding, no gradient of
// the step: two micro-steps are one of twice the size.
#include <gtest/gtest.h>

#include <mutex>

#include "config/parse.h"
#include "model/shape.h"
#include "ops/collectives.h"
#include "tests/support/memory_corpus.h"
#include "tests/support/ranks.h"
#include "train/step.h"

namespace smartbird::testing {
namespace {

struct StepResult {
  StepRecord record;
  at::Tensor gradient;  // [n] summed over ranks, before any clipping
};

struct Cut {
  int ranks = 1, sequence_ranks = 1;
  int64_t micro_tokens = 0;
};

// One step on eleven documents of 5 to 50 tokens, some of whose tokens count as no target.
StepResult run_step(std::vector<std::string> arguments, const Cut& cut) {
  for (const char* argument :
       {"--model.width=16", "--model.heads=4", "--model.kv_heads=2", "--model.layers=2", "--model.dropout=0.2",
        "--init.scale=0.3", "--sketch.width=4", "--sketch.probes=9", "--attention.picks=4", "--attention.window=2",
        "--attention.share=8", "--attention.share_warmup_steps=0", "--data.sequence_tokens=60"})
    arguments.insert(arguments.begin(), argument);
  arguments.push_back("--train.micro_tokens=" + std::to_string(cut.micro_tokens));
  const Options options = parse_options(arguments, nullptr).options;
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < 11; ++i) lengths.push_back(5 + 17 * i % 46);
  const WholeDocuments all(lengths);
  MemoryCorpus corpus(all.documents);
  corpus.uncounted = 2;
  StepResult out;
  for_ranks(cut.ranks, [&](Communicator& group) {
    const World world(group.split(0, group.rank()), cut.sequence_ranks);
    const Task task = task_from_name(options.data.task);
    Transformer model(make_shape(options, corpus.tokenizer().vocabulary(), task == Task::Classify ? 3 : 0), at::kDouble,
                      1);
    Optimizer optimizer(world, model.parameters(), options.train);
    const StepRecord record = train_step({world, model, options, task}, optimizer, corpus, all.batch, 1);
    at::Tensor gradient = model.parameters().flat_grad().clone();
    all_reduce_(world.everyone(), "test", gradient, ReduceOp::Sum);
    if (world.is_root()) out = {record, gradient};
  });
  return out;
}

TEST(MicroSteps, AnyCutOfAStepHasTheSameGradient) {
  const std::vector<std::vector<std::string>> runs{
      {"--data.task=clm"},
      {"--data.task=clm", "--attention.query_block=16", "--sketch.location=layer", "--memory.recompute=layer"},
      {"--data.task=mlm", "--attention.draw=systematic"},
      {"--data.task=classify", "--model.pooling=statistics"},
      {"--data.task=classify", "--model.pooling=attention"}};
  for (const auto& arguments : runs) {
    const StepResult whole = run_step(arguments, {});
    const double largest = whole.gradient.abs().max().item<double>();
    EXPECT_GT(largest, 0);
    for (const Cut& cut :
         {Cut{1, 1, 150}, {1, 1, 100}, {1, 1, 1}, {2, 1, 0}, {3, 1, 60}, {4, 2, 100}, {3, 3, 100}, {4, 1, 1}}) {
      const std::string what = arguments[0] + ", " + std::to_string(cut.ranks) + " ranks, " +
                               std::to_string(cut.sequence_ranks) + " a sequence, micro-steps of " +
                               std::to_string(cut.micro_tokens);
      const StepResult parts = run_step(arguments, cut);
      EXPECT_EQ(parts.record.picks_hash, whole.record.picks_hash) << what;
      EXPECT_NEAR(parts.record.loss, whole.record.loss, 1e-12 * whole.record.loss) << what;
      EXPECT_NEAR(parts.record.sketch_loss, whole.record.sketch_loss, 1e-12 * (1 + whole.record.sketch_loss)) << what;
      EXPECT_LT((parts.gradient - whole.gradient).abs().max().item<double>(), 1e-12 * largest) << what;
    }
  }
}

}  // namespace
}  // namespace smartbird::testing
