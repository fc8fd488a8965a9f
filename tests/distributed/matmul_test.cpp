// run.matmul = bfloat16, as a user calls it: it changes losses by rounding, picks given the weights not at all; where LibTorch does
// not round, that is said and true.
#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

constexpr const char* kWarning = "warning: run.matmul = bfloat16: LibTorch does not round";

// What the program says of this processor; one with AMX rounds.
bool rounds() {
  const TempFolder folders;
  const CommandResult result = smartbird(1,
                                         "pretrain --config configs/tiny.ini --run.matmul=bfloat16 --train.steps=0 "
                                         "--train.warmup_steps=0 --eval.at_end=off --run.dir=" +
                                             folders.path("run"));
  EXPECT_EQ(result.code, 0) << result.output;
  const bool out = result.output.find(kWarning) == std::string::npos;
  std::ifstream info("/proc/cpuinfo");
  const std::string text((std::istreambuf_iterator<char>(info)), {});
  EXPECT_TRUE(out || text.find("amx_bf16") == std::string::npos) << result.output;
  return out;
}

std::map<int, nlohmann::json> steps_of(const std::string& folder, int ranks, const std::string& options) {
  return train_tiny(folder, ranks, "--train.steps=3 --train.warmup_steps=1 --eval.at_end=off " + options).steps;
}

TEST(Matmul, RoundsFactorsButNotThePathOfPicks) {
  const TempFolder folders;
  const auto exact = steps_of(folders.path("exact"), 1, ""),
             rounded = steps_of(folders.path("rounded"), 1, "--run.matmul=bfloat16"),
             again = steps_of(folders.path("again"), 1, "--run.matmul=bfloat16"),
             many = steps_of(folders.path("many"), 3, "--run.matmul=bfloat16");
  ASSERT_EQ(rounded.size(), exact.size());
  EXPECT_EQ(rounded.at(1).at("picks_hash"), exact.at(1).at("picks_hash")) << "weights are the same in the first step";
  EXPECT_EQ(many.at(1).at("picks_hash"), exact.at(1).at("picks_hash"));
  for (const auto& [step, record] : exact) {
    const double loss = record.at("loss");
    EXPECT_EQ(rounded.at(step).at("loss").get<double>() != loss, rounds()) << "it rounds";
    EXPECT_NEAR(rounded.at(step).at("loss").get<double>(), loss, 0.01 * loss);
    EXPECT_EQ(rounded.at(step).at("loss"), again.at(step).at("loss")) << "the same every time";
    EXPECT_NEAR(many.at(step).at("loss").get<double>(), rounded.at(step).at("loss").get<double>(), 0.01 * loss);
  }
}

TEST(Matmul, IsRefusedWhereNothingIsRounded) {
  const TempFolder folders;
  const CommandResult result =
      smartbird(1, "pretrain --config configs/tiny.ini --run.matmul=bfloat16 --run.dtype=float64 --run.dir=" +
                       folders.path("no"));
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.output.find("run.matmul = bfloat16 rounds the factors of float32, not of run.dtype = float64"),
            std::string::npos)
      << result.output;
}

// As another element type would be, other products are another run: what counts is what was done, not what was asked for.
TEST(Matmul, GoesOnAsItBegan) {
  const TempFolder folders;
  const std::string go_on =
                        "pretrain --config configs/tiny.ini --run.resume=auto --train.steps=3 "
                        "--train.warmup_steps=1 --eval.at_end=off --run.dir=",
                    run = folders.path("run"), other = folders.path("other");
  for (const std::string& folder : {run, other})
    (void)steps_of(folder, 1, "--run.matmul=bfloat16 --train.stop_after=2");
  std::ifstream config(run + "/config.ini");
  const std::string text((std::istreambuf_iterator<char>(config)), {});
  EXPECT_NE(text.find(rounds() ? "\nmatmul = bfloat16\n" : "\nmatmul = float32\n"), std::string::npos) << text;
  const CommandResult same = smartbird(1, go_on + run + " --run.matmul=bfloat16"), plain = smartbird(1, go_on + other);
  EXPECT_EQ(same.code, 0) << same.output;
  EXPECT_EQ(plain.code, rounds() ? 2 : 0) << plain.output;
  EXPECT_EQ(plain.output.find("has another run.matmul; ") != std::string::npos, rounds()) << plain.output;
}

TEST(Matmul, OfAnEvaluationIsItsOwn) {
  const TempFolder folders;
  (void)steps_of(folders.path("run"), 1, "--run.matmul=bfloat16 --init.scale=0.5");  // weights whose rounding shows
  const std::string evaluate = "evaluate --checkpoint=" + folders.path("run");
  const CommandResult plain = smartbird(1, evaluate), exact = smartbird(1, evaluate + " --run.matmul=float32"),
                      rounded = smartbird(1, evaluate + " --run.matmul=bfloat16");
  for (const CommandResult& result : {plain, exact, rounded}) {
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_NE(result.output.find("loss: "), std::string::npos) << result.output;
  }
  EXPECT_EQ(plain.output, exact.output) << "a checkpoint is evaluated wherever it is taken";
  const auto result_of = [](const CommandResult& result) {
    return result.output.substr(result.output.find("accuracy: "));
  };
  EXPECT_EQ(result_of(rounded) != result_of(exact), rounds());
  EXPECT_EQ(rounded.output.find(kWarning) == std::string::npos, rounds()) << rounded.output;
  EXPECT_EQ(exact.output.find(kWarning), std::string::npos) << exact.output;
}

}  // namespace
}  // namespace smartbird::testing
