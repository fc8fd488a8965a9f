// attention.pattern = auto, as a user calls it: the run is the one that would have been had the chosen pattern been given, its
// configuration says which, and it goes on as it began.
#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

constexpr const char* kShort = "--train.steps=3 --train.warmup_steps=1 --eval.at_end=off ";

std::string config_of(const std::string& folder) {
  std::ifstream in(folder + "/config.ini");
  return {(std::istreambuf_iterator<char>(in)), {}};
}

bool says(const std::string& folder, const std::string& line) {
  return config_of(folder).find("\n" + line + "\n") != std::string::npos;
}

// Sequences of 48 tokens with 48 picks, all of them probes, cost a ninth densely; of 1,024 with 8 picks a fraction sparsely.
TEST(AutoPattern, IsTheRunOfWhatItChose) {
  const TempFolder folders;
  const std::string
      dense =
          "--data.sequence_tokens=48 --attention.picks=48 --attention.window=4 --sketch.width=32 --sketch.probes=512 ",
      sparse = "--data.sequence_tokens=1024 --train.batch_tokens=2048 ";
  for (int ranks : {1, 2})
    for (const std::string chosen : {"dense", "sparse"}) {
      const std::string name = chosen + std::to_string(ranks), run = folders.path("auto_" + name),
                        options = kShort + (chosen == "dense" ? dense : sparse);
      const CommandResult result = smartbird(
          ranks, "pretrain --config configs/tiny.ini --attention.pattern=window,auto --run.dir=" + run + " " + options);
      ASSERT_EQ(result.code, 0) << result.output;
      EXPECT_TRUE(says(run, "pattern = window," + chosen)) << config_of(run);
      EXPECT_NE(config_of(run).find("command line, auto: " + chosen + ", a step over sequences of up to"),
                std::string::npos)
          << "where it comes from";
      EXPECT_NE(result.output.find("attention.pattern = auto: " + chosen + ", a step over sequences of up to "),
                std::string::npos)
          << result.output;
      EXPECT_EQ(result.output.find(" parameters + 0 of the sketch") != std::string::npos, chosen == "dense")
          << result.output;
      expect_same_steps(
          read_run(run),
          train_tiny(folders.path("given_" + name), ranks, options + "--attention.pattern=window," + chosen), name, 0);
    }
}

TEST(AutoPattern, GoesOnAsItBegan) {
  const TempFolder folders;
  for (const char* began : {"dense", "sparse"}) {
    const std::string run = folders.path(began);
    (void)train_tiny(run, 1, std::string(kShort) + "--train.stop_after=2 --attention.pattern=window," + began);
    const CommandResult other =
        smartbird(1, "pretrain --config configs/tiny.ini --run.resume=auto --attention.pattern=auto --run.dir=" + run +
                         " " + kShort);
    EXPECT_EQ(other.code, 2) << other.output;
    EXPECT_NE(other.output.find("has another attention.pattern; "), std::string::npos) << other.output;
    const CommandResult allowed =
        smartbird(1,
                  "pretrain --config configs/tiny.ini --run.resume=auto --attention.pattern=auto "
                  "--run.allow_change=attention.pattern --run.dir=" +
                      run + " " + kShort);
    EXPECT_EQ(allowed.code, 2) << allowed.output;
    EXPECT_NE(allowed.output.find("run.resume: attention.pattern = auto is chosen when a run begins"),
              std::string::npos)
        << allowed.output;
    const CommandResult again = smartbird(
        1, "pretrain --config configs/tiny.ini --run.resume=auto --attention.pattern=window,auto --run.dir=" + run +
               " " + kShort);
    EXPECT_EQ(again.code, 0) << again.output;
    EXPECT_EQ(again.output.find("attention.pattern = auto"), std::string::npos)
        << "nothing is measured: " << again.output;
    EXPECT_TRUE(says(run, std::string("pattern = window,") + began)) << config_of(run);
    EXPECT_EQ(read_run(run).steps.size(), 3U);
    const CommandResult evaluated =
        smartbird(1, "evaluate --config configs/tiny.ini --attention.pattern=window,auto --checkpoint=" + run);
    EXPECT_EQ(evaluated.code, 0) << evaluated.output;
  }
}

TEST(AutoPattern, IsForRunsAndPlansAlone) {
  const TempFolder folders;
  const std::string run = folders.path("run");
  (void)train_tiny(run, 1, kShort);
  const CommandResult evaluate = smartbird(1, "evaluate --attention.pattern=window,auto --checkpoint=" + run);
  EXPECT_EQ(evaluate.code, 2) << evaluate.output;
  EXPECT_NE(evaluate.output.find(
                "evaluate: attention.pattern = auto is chosen when a run begins; give sparse, dense or window"),
            std::string::npos)
      << evaluate.output;
  const CommandResult tuned =
      smartbird(1,
                "finetune --attention.pattern=auto --data.train='${repository}/tests/data/books/train' "
                "--data.sequence_tokens=256 --train.batch_tokens=1024 --init.checkpoint=" +
                    run + " --run.dir=" + folders.path("tuned") + " " + kShort);
  EXPECT_EQ(tuned.code, 0) << tuned.output;
  EXPECT_NE(tuned.output.find("attention.pattern = auto: "), std::string::npos) << tuned.output;
  for (const char* tokens : {"16", "16384"}) {
    const CommandResult plan =
        smartbird(1, std::string("plan --config configs/tiny.ini --attention.pattern=auto --data.train= "
                                 "--train.batch_tokens=16384 --data.sequence_tokens=") +
                         tokens);
    EXPECT_EQ(plan.code, 0) << plan.output;
    EXPECT_NE(plan.output.find(std::string("attention.pattern = auto: planned as ") +
                               (std::string(tokens) == "16" ? "dense" : "sparse")),
              std::string::npos)
        << plan.output;
  }
}

}  // namespace
}  // namespace smartbird::testing
