// data.generate, as runs that start together meet it.
#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

// A tiny run on recall of that many tokens, its data under `data`.
std::string recall_run(const TempFolder& folders, const std::string& name, const std::string& data, int tokens) {
  return "SMARTBIRD_BINARY=" SMARTBIRD_BINARY " OMP_NUM_THREADS=1 bash " SMARTBIRD_SOURCE_DIR
         "/launch/run.sh -n 1 pretrain --config configs/tiny.ini --train.steps=1 --train.warmup_steps=1 "
         "--eval.at_end=off "
         "--data.generate=recall --data.train=" +
         folders.path(data + "/train") + " --data.valid=" + folders.path(data + "/valid") +
         " --data.sequence_tokens=" + std::to_string(tokens) + " --run.dir=" + folders.path(name) + " ";
}

TEST(GeneratedData, RunsThatStartTogetherShareIt) {
  const TempFolder folders;
  std::string all;
  for (const char* name : {"a", "b", "c"}) {
    all += "{ ";
    all += recall_run(folders, name, "data", 66);
    all += "; echo code $?; } & ";
  }
  const CommandResult result = run_command(all + "wait");
  size_t good = 0, written = 0;
  for (size_t at = 0; (at = result.output.find("code 0\n", at)) != std::string::npos; ++at) ++good;
  for (size_t at = 0; (at = result.output.find("writing ", at)) != std::string::npos; ++at) ++written;
  EXPECT_EQ(good, 3U) << result.output;
  EXPECT_EQ(written, 2U) << "train and valid, once each\n" << result.output;
}

TEST(GeneratedData, OfAnotherLengthIsRefused) {
  const TempFolder folders;
  ASSERT_EQ(run_command(recall_run(folders, "a", "data", 66)).code, 0);
  const CommandResult result = run_command(recall_run(folders, "b", "data", 68));
  EXPECT_EQ(result.code, 3) << result.output;
  EXPECT_NE(result.output.find(
                "/data/train has samples of 66 tokens, data.sequence_tokens = 68; name another path, or delete it"),
            std::string::npos)
      << result.output;
}

TEST(GeneratedData, OfNoPossibleLengthIsRefusedBeforeAnyIsWritten) {
  const TempFolder folders;
  for (int tokens : {67, 64}) {
    const CommandResult result = run_command(recall_run(folders, "a", "data", tokens));
    EXPECT_EQ(result.code, 2) << result.output;
    EXPECT_NE(result.output.find("data.generate = recall: data.sequence_tokens = " + std::to_string(tokens) +
                                 " must be even and at least 66"),
              std::string::npos)
        << result.output;
    EXPECT_EQ(result.output.find("writing"), std::string::npos) << result.output;
  }
}

}  // namespace
}  // namespace smartbird::testing
