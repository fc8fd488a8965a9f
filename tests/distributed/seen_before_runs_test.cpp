// eval.seen_before in evaluations, as a user calls it: sums over ranks, packing and chunks of the loss.
#include <cmath>
#include <map>
#include <sstream>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

constexpr const char* kKinds[] = {"new", "64", "256", "1024", "4096", "more"};

std::map<std::string, double> values_of(const CommandResult& result) {
  EXPECT_EQ(result.code, 0) << result.output;
  std::map<std::string, double> out;
  std::istringstream lines(result.output);
  for (std::string name; lines >> name;)
    if (double value = 0; name.ends_with(":") && lines >> value) out[name.substr(0, name.size() - 1)] = value;
  return out;
}

TEST(SeenBeforeRuns, SumUpToTheWholeOnEveryNumberOfRanks) {
  const TempFolder folders;
  train_tiny(folders.path("run"), 1,
             "--train.steps=3 --train.warmup_steps=1 --eval.at_end=off --eval.sequences=5 --eval.sequence_tokens=700 ");
  const std::string evaluate = "evaluate --checkpoint=" + folders.path("run") + " ";
  const auto plain = values_of(smartbird(1, evaluate)),
             token = values_of(smartbird(1, evaluate + "--eval.seen_before=token")),
             word = values_of(smartbird(1, evaluate + "--eval.seen_before=word")),
             many = values_of(smartbird(3, evaluate + "--eval.seen_before=word --memory.loss_rows=17 "
                                                      "--train.micro_tokens=700"));
  EXPECT_FALSE(plain.contains("seen_new_loss"));
  double targets = 0, loss = 0, correct = 0;
  for (const std::string kind : kKinds)
    if (token.contains("seen_" + kind + "_targets")) {
      const double here = token.at("seen_" + kind + "_targets");
      targets += here, loss += here * token.at("seen_" + kind + "_loss");
      correct += here * token.at("seen_" + kind + "_accuracy");
    }
  EXPECT_EQ(targets, 5 * 700) << "sequences inside a longer document: every row has a target";
  EXPECT_NEAR(loss / targets, plain.at("loss"), 1e-4);
  EXPECT_NEAR(correct / targets, plain.at("accuracy"), 1e-4);
  EXPECT_GT(word.at("seen_64_targets"), 0);
  EXPECT_GT(word.at("seen_256_targets"), 0);
  EXPECT_FALSE(word.contains("seen_4096_targets")) << "no sequence is so long";
  for (const auto& [name, value] : word) EXPECT_NEAR(many.at(name), value, 1e-4 * std::abs(value)) << name;
}

TEST(SeenBeforeRuns, RefuseOtherTasksAndTokens) {
  const TempFolder folders;
  const auto refuses = [&](const std::string& options, int code, const std::string& says) {
    const CommandResult result =
        smartbird(1, "pretrain --config configs/tiny.ini --run.dir=" + folders.path("no") + " " + options);
    EXPECT_EQ(result.code, code) << result.output;
    EXPECT_NE(result.output.find(says), std::string::npos) << result.output;
  };
  refuses("--eval.seen_before=word --data.task=mlm", 2,
          "eval.seen_before = word sorts the targets of data.task = clm; data.task is mlm");
  refuses("--eval.seen_before=line", 2, "eval.seen_before");
  refuses("--eval.seen_before=word --data.generate=recall --data.train=" + folders.path("train") +
              " --data.valid=" + folders.path("valid") + " --data.sequence_tokens=66",
          2, "eval.seen_before = word needs text as bytes, but data.valid has another tokenizer; use token");
}

}  // namespace
}  // namespace smartbird::testing
