// Rules between options: each violated alone and read whole, all together, and what a 0 or auto stands for.
#include "config/rules.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;

Options with(const std::vector<std::string>& arguments) { return parse_options(arguments, nullptr).options; }

struct Violation {
  std::vector<std::string> arguments;
  std::string message;
  int num_ranks = 1;
};

const std::vector<Violation> kViolations{
    {{"--model.kv_heads=3"}, "model.kv_heads = 3 does not divide model.heads = 4"},
    {{"--model.heads=3"},
     "model.width = 128 is not a multiple of model.heads = 3; set model.head_width or change one of them"},
    {{"--model.width=12"}, "model.head_width = 3 (0 = width / heads) must be even and positive"},
    {{"--model.head_width=7"}, "model.head_width = 7 (0 = width / heads) must be even and positive"},
    {{"--sketch.inner_width=5"}, "sketch.inner_width = 5 must be even"},
    {{"--attention.share=some"},
     "attention.share = some must be 'all' or a positive multiple of attention.query_block = 1"},
    {{"--attention.share=0"}, "attention.share = 0 must be 'all' or a positive multiple of attention.query_block = 1"},
    {{"--attention.share=-64"},
     "attention.share = -64 must be 'all' or a positive multiple of attention.query_block = 1"},
    {{"--attention.share=99999999999999999999"},
     "attention.share = 99999999999999999999 must be 'all' or a positive multiple of attention.query_block = 1"},
    {{"--attention.query_block=5"},
     "attention.share = 64 must be 'all' or a positive multiple of attention.query_block = 5"},
    {{"--parallel.sequence_ranks=4"}, "parallel.sequence_ranks = 4 does not divide the 6 ranks of this run", 6},
    {{"--exchange.plan=heads"},
     "exchange.plan = heads deals whole kv heads, but 4 (model.kv_heads) are not a multiple of 6 ranks that share a "
     "stream (parallel.sequence_ranks); choose rows or all",
     6},
    {{"--exchange.link=20ms"},
     "exchange.link = 20ms must be 'measure' or a latency and a rate as in 50us,10Gbit/s (us, ms, s; kbit/s, Mbit/s, "
     "Gbit/s, kB/s, MB/s, GB/s)"},
    {{"--run.record_picks=2", "--attention.pattern=dense,window"},
     "run.record_picks = 2 has nothing to record: no layer of attention.pattern is sparse"},
    {{"--run.record_picks=200", "--train.stop_after=150"},
     "run.record_picks = 200 records nothing before the last step, 150; lower it"},
    {{"--data.prefix_tokens=8", "--data.task=mlm"}, "data.prefix_tokens = 8 needs data.task = clm and a causal model"},
    {{"--data.prefix_tokens=1024"},
     "data.prefix_tokens = 1024 leaves nothing to predict of data.sequence_tokens = 1024"},
    {{"--data.limit_tokens=9", "--data.task=classify"},
     "data.limit_tokens = 9 would cut a labelled document; it needs data.task = clm or mlm"},
    {{"--data.sequence_tokens=1"},
     "data.sequence_tokens = 1 leaves data.task = clm nothing to predict; set it to 2 or more"},
    {{"--data.vocabulary=words.txt"},
     "data.vocabulary = words.txt is for data.tokenizer = words; set that, or leave it out"},
    {{"--data.limit_tokens=1"},
     "data.limit_tokens = 1 leaves data.task = clm nothing to predict; set it to 2 or more, or to 0 for all"},
    {{"--model.causal=off"}, "data.task = clm needs a causal model; model.causal = off"},
    {{"--train.stop_after=1001"}, "train.stop_after = 1001 is beyond train.steps = 1000"},
    {{"--train.steps=50"}, "train.warmup_steps = 100 exceeds train.steps = 50; lower train.warmup_steps"},
    {{"--train.learning_rate=0", "--train.head_learning_rate=1"},
     "train.learning_rate = 0 trains nothing; it needs data.task = classify and train.head_learning_rate above 0"},
    {{"--train.learning_rate=0", "--data.task=classify"},
     "train.learning_rate = 0 trains nothing; it needs data.task = classify and train.head_learning_rate above 0"},
    {{"--run.record_picks=10", "--train.steps=109", "--attention.warmup_steps=100"},
     "run.record_picks = 10 records no step between the dense ones, attention.warmup_steps = 100, and the last, 109; "
     "lower it, or train longer"},
    {{"--attention.draw_temperature=0.5", "--attention.draw=topk"},
     "attention.draw_temperature = 0.5 changes nothing with attention.draw = topk, which does not draw by the sketch's "
     "probabilities; leave it out"},
    {{"--attention.draw_temperature=0.001"},
     "attention.draw_temperature = 0.001 must be 0, for the default, or from 0.01 to 100"},
    {{"--attention.fill=on", "--attention.draw=gumbel"},
     "attention.fill = on is for attention.draw = poisson and systematic, given gumbel; leave it out"},
    {{"--run.record_picks=2", "--model.layers=2", "--attention.pattern=window,window,sparse"},
     "run.record_picks = 2 has nothing to record: no layer of attention.pattern is sparse"},
    {{"--run.record_picks=2", "--attention.draw=oracle"},
     "run.record_picks = 2 records the picks of sketches; attention.draw = oracle has none"},
    {{"--eval.draw=dense", "--attention.pattern=window,dense"},
     "eval.draw = dense makes sparse layers dense, and attention.pattern has none; set eval.draw = same, or "
     "attention.pattern = dense to make all layers dense"},
    {{"--attention.warmup_steps=3", "--attention.draw=none"},
     "attention.warmup_steps = 3 changes the picks of no layer: it needs a sparse one in attention.pattern, and draws"},
    {{"--attention.warmup_steps=3", "--attention.pattern=dense"},
     "attention.warmup_steps = 3 changes the picks of no layer: it needs a sparse one in attention.pattern, and draws"},
    {{"--attention.warmup_picks=3"}, "attention.warmup_picks = 3 needs attention.warmup_steps above 0"},
    {{"--attention.warmup_steps=300", "--train.steps=200"},
     "attention.warmup_steps = 300 exceeds train.steps = 200; lower attention.warmup_steps"},
    {{"--train.freeze=model"},
     "train.freeze = model keeps the weights as they are: it needs finetune with init.checkpoint, and data.task = clm "
     "or "
     "mlm"},
    {{"--train.freeze=model", "--init.checkpoint=a", "--data.task=classify"},
     "train.freeze = model keeps the weights as they are: it needs finetune with init.checkpoint, and data.task = clm "
     "or "
     "mlm"},
    {{"--train.freeze=model", "--init.checkpoint=a", "--sketch.probes=0"},
     "train.freeze = model leaves nothing to learn: it needs a sparse layer in attention.pattern, sketch.probes above "
     "0 "
     "and a draw from the sketch, not attention.draw = oracle"},
    {{"--train.patience=3"}, "train.patience = 3 needs data.valid and eval.every > 0"},
    {{"--data.task=mlm", "--data.mask_share=0"},
     "data.mask_share = 0 leaves data.task = mlm nothing to predict; raise it"},
    {{"--data.generate=sudoku"}, "data.generate = sudoku: expected listops or recall"},
    {{"--run.allow_change=model.layrs,train.beta1"},
     "run.allow_change: unknown option 'model.layrs'; did you mean 'model.layers'?"},
    {{"--train.patience=3", "--data.valid=a", "--eval.every=0"},
     "train.patience = 3 needs data.valid and eval.every > 0"},
};

TEST(Rules, EachViolationIsReadWhole) {
  for (const Violation& v : kViolations) {
    const Options options = with(v.arguments);
    expect_error(ErrorKind::Config, v.message, [&] { check_rules(options, v.num_ranks); });
  }
}

TEST(Rules, AllViolationsAtOnce) {
  const Options options =
      with({"--model.kv_heads=3", "--sketch.inner_width=5", "--train.patience=1", "--parallel.sequence_ranks=2"});
  expect_error(ErrorKind::Config,
               "model.kv_heads = 3 does not divide model.heads = 4\nsketch.inner_width = 5 must be even\n"
               "parallel.sequence_ranks = 2 does not divide the 3 ranks of this run\ntrain.patience = 1 needs "
               "data.valid and eval.every > 0",
               [&] { check_rules(options, 3); });
}

TEST(Rules, WhatTheyAllow) {
  const std::vector<std::vector<std::string>> allowed{
      {},
      {"--model.heads=3", "--model.head_width=8"},
      {"--model.kv_heads=2", "--attention.query_block=4"},
      {"--attention.share=all", "--attention.query_block=3"},
      {"--parallel.sequence_ranks=2"},
      {"--data.prefix_tokens=8"},
      {"--data.task=mlm", "--model.causal=on"},
      {"--train.steps=0"},
      {"--train.stop_after=1000"},
      {"--train.learning_rate=0", "--train.head_learning_rate=1e-3", "--data.task=classify"},
      {"--train.patience=3", "--data.valid=a"},
      {"--train.freeze=model", "--init.checkpoint=a", "--train.learning_rate=0"},
      {"--attention.warmup_steps=3", "--attention.draw=oracle"},
      {"--attention.draw=topk"},
      {"--attention.draw=uniform", "--attention.draw_temperature=1", "--attention.fill=off"},
      {"--attention.draw=iid", "--attention.draw_temperature=0.5"}};
  for (const auto& arguments : allowed)
    for (int ranks : {2, 6})
      EXPECT_NO_THROW(check_rules(with(arguments), ranks)) << (arguments.empty() ? "defaults" : arguments[0]);
}

TEST(Rules, WhatZeroAndAutoStandFor) {
  const Options standard = default_options();
  EXPECT_EQ(kv_heads(standard.model), 4);
  EXPECT_EQ(head_width(standard.model), 32);
  EXPECT_EQ(mlp_width(standard.model), 352);  // 341 rounded up
  EXPECT_EQ(sketch_inner_width(standard.sketch), 32);
  EXPECT_EQ(share_rows(standard), 64);
  EXPECT_TRUE(is_causal(standard));
  EXPECT_FALSE(is_causal(with({"--data.task=mlm"})));
  EXPECT_FALSE(is_causal(with({"--data.task=classify"})));
  EXPECT_TRUE(is_causal(with({"--data.task=classify", "--model.causal=on"})));
  EXPECT_TRUE(fills_budget(standard));
  EXPECT_EQ(draw_temperature(standard), 0.5);
  const auto draws = [](const std::vector<std::string>& arguments) {
    const Options o = with(arguments);
    return std::pair(fills_budget(o), draw_temperature(o));
  };
  EXPECT_EQ(draws({"--attention.draw=systematic"}), std::pair(true, 0.5));
  EXPECT_EQ(draws({"--attention.fill=on", "--attention.draw_temperature=0.7"}), std::pair(true, 0.7));
  EXPECT_EQ(draws({"--attention.fill=off"}), std::pair(false, 1.0));
  EXPECT_EQ(draws({"--attention.fill=off", "--attention.draw_temperature=2"}), std::pair(false, 2.0));
  for (const std::string draw : {"gumbel", "iid", "topk", "uniform", "oracle", "bigbird", "none"})
    EXPECT_EQ(draws({"--attention.draw=" + draw}), std::pair(false, 1.0)) << draw;
  const Options given = with({"--model.kv_heads=2", "--model.head_width=10", "--model.mlp_width=7",
                              "--sketch.inner_width=6", "--attention.share=all"});
  EXPECT_EQ(kv_heads(given.model), 2);
  EXPECT_EQ(head_width(given.model), 10);
  EXPECT_EQ(mlp_width(given.model), 7);
  EXPECT_EQ(sketch_inner_width(given.sketch), 6);
  EXPECT_EQ(share_rows(given), 0);
}

}  // namespace
}  // namespace smartbird
