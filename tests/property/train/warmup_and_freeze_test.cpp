// Laws: a frozen model keeps every bit while its sketch learns as it would have; warm-up steps with all picks are dense steps, from which
// the sketch learns too.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "config/parse.h"
#include "model/shape.h"
#include "tests/support/memory_corpus.h"
#include "tests/support/ranks.h"
#include "train/step.h"

namespace smartbird::testing {
namespace {

struct Steps {
  std::vector<StepRecord> records;
  at::Tensor before, after;
  int64_t sketch_begin = 0;
};

Steps train(const std::vector<std::string>& more, int ranks = 1, int64_t steps = 3) {
  std::vector<std::string> arguments{"--model.width=32",     "--model.heads=2",           "--model.layers=2",
                                     "--sketch.width=8",     "--sketch.probes=6",         "--attention.picks=4",
                                     "--attention.window=2", "--data.sequence_tokens=60", "--run.dtype=float64"};
  for (const std::string& argument : more) {
    const std::string key = argument.substr(0, argument.find('=') + 1);
    std::erase_if(arguments, [&](const std::string& given) { return given.starts_with(key); });
    arguments.push_back(argument);
  }
  const Options options = parse_options(arguments, nullptr).options;
  const WholeDocuments all({11, 28, 45});
  MemoryCorpus corpus(all.documents);
  Steps out;
  for_ranks(ranks, [&](Communicator& group) {
    const World world(group.split(0, group.rank()), 0);
    Transformer model(make_shape(options, corpus.tokenizer().vocabulary(), 0), at::kDouble, 1);
    if (options.train.freeze == "model") model.parameters().freeze_model();
    Optimizer optimizer(world, model.parameters(), options.train);
    Steps mine{.records = {},
               .before = model.parameters().flat().clone(),
               .after = {},
               .sketch_begin = model.parameters().sketch_begin()};
    for (int64_t step = 1; step <= steps; ++step)
      mine.records.push_back(train_step({world, model, options, Task::Clm}, optimizer, corpus, all.batch, step));
    mine.after = model.parameters().flat().clone();
    if (world.is_root()) out = mine;
  });
  return out;
}

TEST(FrozenModel, KeepsEveryBitWhileTheSketchLearns) {
  for (int ranks : {1, 3})
    for (const char* recompute : {"--memory.recompute=none", "--memory.recompute=layer"}) {
      const Steps frozen = train({"--train.freeze=model", recompute}, ranks), free = train({recompute}, ranks);
      const int64_t sketch = frozen.sketch_begin, rest = frozen.before.size(0) - sketch;
      EXPECT_TRUE(at::equal(frozen.after.narrow(0, 0, sketch), frozen.before.narrow(0, 0, sketch)));
      EXPECT_FALSE(at::equal(frozen.after.narrow(0, sketch, rest), frozen.before.narrow(0, sketch, rest)));
      EXPECT_EQ(frozen.records[0].loss, free.records[0].loss);
      EXPECT_EQ(frozen.records[0].sketch_loss, free.records[0].sketch_loss);
      EXPECT_EQ(frozen.records[0].sketch_grad_norm, free.records[0].sketch_grad_norm);
      EXPECT_EQ(frozen.records[2].grad_norm, 0);
      EXPECT_GT(free.records[2].grad_norm, 0);
    }
}

TEST(WarmupSteps, WithAllPicksAreDense) {
  const Steps warm = train({"--attention.warmup_steps=2"}), dense = train({"--attention.pattern=dense"}),
              sparse = train({});
  for (size_t step : {0, 1}) {
    EXPECT_NEAR(warm.records[step].loss, dense.records[step].loss, 1e-12) << "step " << step + 1;
    EXPECT_NEAR(warm.records[step].grad_norm, dense.records[step].grad_norm, 1e-11) << "step " << step + 1;
    EXPECT_NEAR(warm.records[step].coverage, 1, 1e-12) << "step " << step + 1;
    EXPECT_NEAR(warm.records[step].coverage_uniform, 1, 1e-12) << "step " << step + 1;
  }
  EXPECT_NEAR(train({"--attention.warmup_steps=2", "--attention.draw=oracle"}).records[0].loss, dense.records[0].loss,
              1e-12);
  EXPECT_EQ(train({"--attention.warmup_steps=2", "--attention.draw=oracle"}).records[0].picks_hash, 0U);
  EXPECT_GT(std::abs(warm.records[2].loss - dense.records[2].loss), 1e-9);
  EXPECT_LT(warm.records[2].coverage, 1);
  EXPECT_GT(std::abs(warm.records[0].loss - sparse.records[0].loss), 1e-9);
  EXPECT_GT(warm.records[0].sketch_grad_norm, 0);
}

TEST(WarmupSteps, TakeTheirOwnPicks) {
  const Steps warm = train({"--attention.warmup_steps=1", "--attention.warmup_picks=9"}),
              nine = train({"--attention.picks=9"});
  EXPECT_EQ(warm.records[0].picks_hash, nine.records[0].picks_hash);
  EXPECT_EQ(warm.records[0].loss, nine.records[0].loss);
  EXPECT_NE(warm.records[1].picks_hash, nine.records[1].picks_hash);
}

TEST(BigBird, KeepsItsPatternOverStepsAndWarmUps) {
  const Steps run = train({"--attention.draw=bigbird", "--attention.share=8", "--attention.share_warmup_steps=1"}),
              other = train({"--attention.draw=bigbird", "--run.seed=2"}),
              poisson = train({"--attention.share=8", "--attention.share_warmup_steps=1"});
  EXPECT_EQ(run.records[0].picks_hash, run.records[1].picks_hash);
  EXPECT_EQ(run.records[1].picks_hash, run.records[2].picks_hash);
  EXPECT_NE(run.records[0].picks_hash, other.records[0].picks_hash) << "another seed has another pattern";
  EXPECT_NE(poisson.records[0].picks_hash, poisson.records[1].picks_hash);
}

TEST(SketchTemperature, BeginsWhereItIsSet) {
  const Steps plain = train({}, 1, 0), sharp = train({"--sketch.temperature=2.5"}, 1, 0);
  EXPECT_EQ((plain.before == 2.5).sum().item<int64_t>(), 0);
  EXPECT_EQ((sharp.before == 2.5).sum().item<int64_t>(), 1);
}

TEST(DrawTemperature, ChangesThePicksAndNotWhatTheSketchLearns) {
  // The attention of a second layer would see the other picks.
  const std::string one = "--model.layers=1", off = "--attention.fill=off";
  const Steps plain = train({one, off}), drawn = train({one, off, "--attention.draw_temperature=0.4"}),
              sharp = train({one, off, "--sketch.temperature=2.5"}),
              many = train({one, off, "--attention.draw_temperature=0.4"}, 3);
  EXPECT_EQ(drawn.records[0].picks_hash, sharp.records[0].picks_hash) << "a temperature of 1 / 0.4";
  EXPECT_NE(drawn.records[0].picks_hash, plain.records[0].picks_hash);
  EXPECT_EQ(drawn.records[0].loss, sharp.records[0].loss);
  EXPECT_EQ(drawn.records[0].sketch_loss, plain.records[0].sketch_loss);
  EXPECT_NE(sharp.records[0].sketch_loss, plain.records[0].sketch_loss);
  EXPECT_EQ(many.records[0].picks_hash, drawn.records[0].picks_hash);
}

TEST(FilledBudget, ChangesThePicksAndNotWhatTheSketchLearns) {
  const std::vector<std::string> model{"--model.layers=1", "--attention.picks=4", "--sketch.temperature=20"};
  const auto with = [&](const std::vector<std::string>& draw, int ranks = 1) {
    std::vector<std::string> all = model;
    all.insert(all.end(), draw.begin(), draw.end());
    return train(all, ranks);
  };
  const Steps plain = with({"--attention.fill=off"}), standard = with({}), many = with({}, 3),
              filled = with({"--attention.fill=on", "--attention.draw_temperature=0.5"}),
              flatter = with({"--attention.draw_temperature=1"});
  EXPECT_NE(flatter.records[0].picks_hash, plain.records[0].picks_hash);
  EXPECT_GT(flatter.records[0].coverage_domain, plain.records[0].coverage_domain);
  EXPECT_EQ(flatter.records[0].sketch_loss, plain.records[0].sketch_loss);
  EXPECT_EQ(standard.records[0].picks_hash, filled.records[0].picks_hash) << "what 0 and auto stand for";
  EXPECT_NE(standard.records[0].picks_hash, flatter.records[0].picks_hash);
  for (size_t step = 0; step < standard.records.size(); ++step)
    EXPECT_EQ(many.records[step].picks_hash, standard.records[step].picks_hash) << "on three ranks, step " << step;
}

TEST(SketchRotaryBase, ChangesThePicks) {
  const Steps plain = train({}), same = train({"--sketch.rotary_base=10000"}),
              other = train({"--sketch.rotary_base=1e6"});
  EXPECT_EQ(plain.records[0].picks_hash, same.records[0].picks_hash);
  EXPECT_NE(plain.records[0].picks_hash, other.records[0].picks_hash);
  EXPECT_NE(plain.records[0].sketch_loss, other.records[0].sketch_loss);
}

}  // namespace
}  // namespace smartbird::testing
