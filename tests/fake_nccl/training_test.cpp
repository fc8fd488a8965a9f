// Whole training runs whose tensors travel over NcclComm are those over MpiComm, whatever the number of ranks and the plan: the
// same picks, and losses and gradient norms to 1e-9 in double (sums run in another order).
#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

const std::string kNccl = SMARTBIRD_FAKE_NCCL_BINARY;
const std::string kTwenty = "--run.dtype=float64 --train.steps=20 --eval.at_end=off ";

struct Case {
  int ranks;
  std::string arguments;
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.ranks << " ranks " << c.arguments; }
};

class FakeNcclTraining : public ::testing::TestWithParam<Case> {};

TEST_P(FakeNcclTraining, IsThatOverMpi) {
  const TempFolder folders;
  const auto& [ranks, arguments] = GetParam();
  const TrainingRun mpi = train_tiny(folders.path("mpi"), ranks, kTwenty + arguments);
  const TrainingRun nccl =
      train_tiny(folders.path("nccl"), ranks, kTwenty + arguments + " --parallel.transport=nccl", kNccl);
  ASSERT_EQ(mpi.steps.size(), 20U);
  expect_same_steps(mpi, nccl, std::to_string(ranks) + " ranks " + arguments);
}

const Case kCases[] = {
    {1, ""},
    {2, "--exchange.plan=all --train.micro_tokens=400"},
    {3, "--exchange.plan=auto --parallel.layout=zigzag"},
    {4, "--parallel.sequence_ranks=2 --exchange.plan=heads"},
    {5, "--memory.recompute=layer --memory.rows=fetch_again"},
    {6, "--parallel.sequence_ranks=3 --data.task=mlm"},
    {7, "--exchange.overlap=off --run.check_comm=on"},
    {8, "--memory.kv_dtype=bfloat16"},
};
INSTANTIATE_TEST_SUITE_P(Ranks, FakeNcclTraining, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::to_string(info.param.ranks); });

// A fine-tuned label head reduces the largest value and whitens: both cross ranks as tensors.
TEST(FakeNccl, FineTuningIsThatOverMpi) {
  const TempFolder folders;
  {
    std::ofstream data(folders.path("labels.jsonl"));
    for (int i = 0; i < 12; ++i) {
      std::string text;
      for (int word = 0; word < 40 + 13 * i; ++word) text += static_cast<char>('a' + (word * (i % 3 + 1)) % 23);
      data << nlohmann::json{{"text", text}, {"label", i % 3 == 0 ? "x" : "y"}}.dump() << "\n";
    }
  }
  train_tiny(folders.path("before"), 1,
             "--run.dtype=float64 --train.steps=2 --train.warmup_steps=1 --eval.at_end=off --data.task=mlm");
  const std::string arguments =
      "finetune --config configs/tiny.ini --init.checkpoint=" + folders.path("before") +
      " --run.dtype=float64 --data.task=classify --data.valid= --data.train=" + folders.path("labels.jsonl") +
      " --train.steps=6 --train.warmup_steps=1 " + "--eval.at_end=off --run.dir=";
  for (const bool nccl : {false, true}) {
    const CommandResult result =
        smartbird(3, arguments + folders.path(nccl ? "nccl" : "mpi") + (nccl ? " --parallel.transport=nccl" : ""),
                  nccl ? kNccl : SMARTBIRD_BINARY);
    ASSERT_EQ(result.code, 0) << result.output;
  }
  expect_same_steps(read_run(folders.path("mpi")), read_run(folders.path("nccl")), "finetune");
  // What carried tensors in training is no need of an evaluation.
  const CommandResult result = smartbird(2, "evaluate --checkpoint=" + folders.path("nccl") +
                                                " --eval.sequences=0 --data.test=" + folders.path("labels.jsonl"));
  EXPECT_EQ(result.code, 0) << result.output;
}

TEST(FakeNccl, ABuildWithoutItRefuses) {
  if (SMARTBIRD_WITH_NCCL) GTEST_SKIP() << "this build has NCCL";
  const CommandResult result = smartbird(1, "pretrain --config configs/tiny.ini --parallel.transport=nccl");
  EXPECT_EQ(result.code, 4);
  EXPECT_NE(result.output.find("parallel.transport = nccl, but this build has no NCCL; use mpi, or build with "
                               "the cuda preset"),
            std::string::npos)
      << result.output;
}

}  // namespace
}  // namespace smartbird::testing
