// From a densely trained model to a sampled one: its sketch is trained while the model stays as it is, and draws that ask no sketch
// serve it as it is.
#include <filesystem>
#include <fstream>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

// The line "loss: ..." of an evaluation.
std::string loss_of(const CommandResult& result) {
  EXPECT_EQ(result.code, 0) << result.output;
  const size_t at = result.output.find("loss: ");
  return at == std::string::npos ? "" : result.output.substr(at, result.output.find('\n', at) - at);
}

TEST(FromDense, ASketchIsTrainedOnAModelThatStays) {
  const TempFolder folders;
  train_tiny(folders.path("dense"), 1,
             "--train.steps=4 --train.warmup_steps=1 --attention.pattern=dense --eval.at_end=off");
  const std::string evaluate = "evaluate --checkpoint=" + folders.path("dense") + " ";
  const std::string dense = loss_of(smartbird(1, evaluate));
  EXPECT_EQ(
      loss_of(smartbird(2, evaluate + "--attention.pattern=sparse --attention.draw=oracle --attention.picks=300")),
      dense);
  EXPECT_NE(loss_of(smartbird(1, evaluate + "--attention.pattern=sparse --attention.draw=bigbird")), dense);
  const CommandResult refused = smartbird(1, evaluate + "--attention.pattern=sparse");
  EXPECT_EQ(refused.code, 3);
  EXPECT_NE(refused.output.find("no tensor 'sketch.0.in.weight'"), std::string::npos) << refused.output;

  const CommandResult trained =
      smartbird(2, "finetune --config configs/tiny.ini --init.checkpoint=" + folders.path("dense") +
                       " --run.dir=" + folders.path("sketch") +
                       " --train.steps=6 --train.freeze=model --attention.pattern=sparse --eval.at_end=off");
  ASSERT_EQ(trained.code, 0) << trained.output;
  const TrainingRun run = read_run(folders.path("sketch"));
  ASSERT_EQ(run.steps.size(), 6U);
  EXPECT_EQ(run.steps.at(6).at("grad_norm").get<double>(), 0);
  EXPECT_GT(run.steps.at(6).at("sketch_grad_norm").get<double>(), 0);
  const std::string again = "evaluate --checkpoint=" + folders.path("sketch") + " ";
  EXPECT_EQ(loss_of(smartbird(1, again + "--eval.draw=dense")), dense);
  EXPECT_EQ(loss_of(smartbird(1, again + "--attention.pattern=dense")), dense) << "the sketch's weights are left alone";
}

TEST(FromDense, FreezingNeedsACheckpoint) {
  const CommandResult result = smartbird(1, "pretrain --config configs/tiny.ini --train.freeze=model");
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(
      result.output.find("train.freeze = model keeps the weights as they are: it needs finetune with init.checkpoint"),
      std::string::npos)
      << result.output;
}

// A run's warm-ups are its own: what starts from it begins with the picks it asks for.
TEST(FromDense, WarmUpsAreNotInherited) {
  const TempFolder folders;
  train_tiny(folders.path("before"), 1,
             "--train.steps=2 --train.warmup_steps=1 --attention.warmup_steps=2 --attention.share_warmup_steps=2 "
             "--eval.at_end=off");
  const CommandResult trained = smartbird(
      1, "finetune --config configs/tiny.ini --init.checkpoint=" + folders.path("before") +
             " --run.dir=" + folders.path("after") + " --train.steps=2 --train.warmup_steps=1 --eval.at_end=off");
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_GT(read_run(folders.path("before")).steps.at(1).at("coverage").get<double>(), 0.999);
  EXPECT_LT(read_run(folders.path("after")).steps.at(1).at("coverage").get<double>(), 0.99);
}

// What a configuration says of training alone does not stand in the way of another attention.
TEST(FromDense, AnEvaluationLeavesTrainingBehind) {
  const TempFolder folders;
  train_tiny(folders.path("run"), 1,
             "--train.steps=2 --train.warmup_steps=1 --attention.warmup_steps=2 --attention.warmup_picks=9 "
             "--attention.draw_temperature=0.5 --attention.fill=on --run.record_picks=1 --eval.at_end=off");
  const std::string evaluate = "evaluate --checkpoint=" + folders.path("run") + " ";
  const std::string dense = loss_of(smartbird(1, evaluate + "--attention.pattern=dense"));
  EXPECT_NE(dense, "");
  EXPECT_EQ(loss_of(smartbird(2, evaluate + "--attention.draw=uniform --attention.picks=300")), dense);
  EXPECT_EQ(loss_of(smartbird(2, evaluate + "--eval.draw=dense")), dense);
  EXPECT_NE(loss_of(smartbird(1, evaluate + "--attention.draw=topk")), dense) << "a temperature that is not asked";
  const CommandResult topk =
      smartbird(1, "finetune --config configs/tiny.ini --init.checkpoint=" + folders.path("run") +
                       " --run.dir=" + folders.path("topk") +
                       " --attention.draw=topk --train.steps=1 --train.warmup_steps=1 --eval.at_end=off");
  EXPECT_EQ(topk.code, 0) << topk.output << "nor does it pass from run to run where it is not asked";
  const CommandResult other = smartbird(1, evaluate + "--sketch.rotary_base=100");
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.output.find("sketch.rotary_base differ from the checkpoint"), std::string::npos) << other.output;
}

// A model that was frozen, with no learning rate at all, is a checkpoint like others.
TEST(FromDense, AFrozenModelIsEvaluated) {
  const TempFolder folders;
  const std::string short_run = " --train.steps=2 --train.warmup_steps=1 --eval.at_end=off";
  train_tiny(folders.path("run"), 1, short_run);
  const CommandResult trained = smartbird(
      1, "finetune --config configs/tiny.ini --init.checkpoint=" + folders.path("run") +
             " --run.dir=" + folders.path("frozen") + " --train.freeze=model --train.learning_rate=0" + short_run);
  ASSERT_EQ(trained.code, 0) << trained.output;
  const std::string dense = " --eval.draw=dense";
  EXPECT_EQ(loss_of(smartbird(1, "evaluate --checkpoint=" + folders.path("frozen") + dense)),
            loss_of(smartbird(1, "evaluate --checkpoint=" + folders.path("run") + dense)));
}

// Another kind of sketch than the checkpoint's is tried on the same model: it starts anew, the model stays.
TEST(FromDense, AnotherKindOfSketchStartsAnew) {
  const TempFolder folders;
  const std::string short_run = " --train.steps=2 --train.warmup_steps=1 --eval.at_end=off";
  train_tiny(folders.path("run"), 1, short_run);
  const std::string dense = " --eval.draw=dense";
  const std::string before = loss_of(smartbird(1, "evaluate --checkpoint=" + folders.path("run") + dense));
  for (const std::string other : {"--sketch.width=24", "--sketch.convolution=0", "--sketch.location=layer"}) {
    const CommandResult trained =
        smartbird(2, "finetune --config configs/tiny.ini --init.checkpoint=" + folders.path("run") +
                         " --run.dir=" + folders.path("other") + " --train.freeze=model " + other + short_run);
    ASSERT_EQ(trained.code, 0) << trained.output;
    EXPECT_NE(trained.output.find("; new: sketch.0.in.weight"), std::string::npos) << other << trained.output;
    EXPECT_EQ(trained.output.find("; new: embed.weight"), std::string::npos) << trained.output;
    EXPECT_EQ(loss_of(smartbird(1, "evaluate --checkpoint=" + folders.path("other") + dense)), before);
    std::filesystem::remove_all(folders.path("other"));
  }
}

// What a user's own file says counts as the command line does.
TEST(FromDense, AnEvaluationHeedsAFileOfItsOwn) {
  const TempFolder folders;
  train_tiny(folders.path("run"), 1, "--train.steps=2 --train.warmup_steps=1 --eval.at_end=off");
  std::ofstream(folders.path("own.ini")) << "[parallel]\nsequence_ranks = 3\n[attention]\nwarmup_steps = 1\n";
  const CommandResult result =
      smartbird(1, "evaluate --checkpoint=" + folders.path("run") + " --config " + folders.path("own.ini"));
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.output.find("parallel.sequence_ranks = 3 does not divide the 1 ranks"), std::string::npos)
      << result.output;
}

// In a dense warm-up exchange.plan = auto counts every key, not the picks that come after it.
TEST(FromDense, AWarmUpTakesTheExchangeOfDenseLayers) {
  const TempFolder folders;
  const std::string run =
      "--train.steps=2 --train.warmup_steps=1 --eval.at_end=off --model.kv_heads=4 --attention.picks=2 "
      "--attention.window=2 --data.sequence_tokens=1024 --exchange.plan=auto --exchange.link=1us,1Mbit/s ";
  const TrainingRun warm = train_tiny(folders.path("warm"), 4, run + "--attention.warmup_steps=1"),
                    dense = train_tiny(folders.path("dense"), 4, run + "--attention.pattern=dense");
  EXPECT_EQ(dense.steps.at(1).at("plan"), "heads");
  EXPECT_EQ(warm.steps.at(1).at("plan"), "heads");
  EXPECT_EQ(warm.steps.at(2).at("plan"), "rows");
}

}  // namespace
}  // namespace smartbird::testing
