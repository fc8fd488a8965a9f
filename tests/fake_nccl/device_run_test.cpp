// Whole runs with run.device = cuda are those of the CPU: the same picks, losses to float's rounding. They compute on a stand-in for
// a GPU: emulated kernels over memory that the host cannot reach, a backward pass on a thread of its own, a stand-in NCCL.
#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

const std::string kStandIn = SMARTBIRD_STAND_IN_BINARY;
const std::string kShape =
    "--model.width=64 --model.heads=2 --sketch.width=16 --data.sequence_tokens=96 "
    "--train.batch_tokens=192 --eval.sequences=2 --eval.sequence_tokens=96 --attention.picks=4 ";
constexpr double kFloat = 1e-4;

struct Case {
  const char* name;
  int ranks;
  std::string arguments;
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
};

class DeviceRun : public ::testing::TestWithParam<Case> {};

TEST_P(DeviceRun, IsTheCpus) {
  const TempFolder folders;
  const Case& c = GetParam();
  const std::string arguments = kShape + "--train.steps=3 --train.warmup_steps=1 " + c.arguments;
  const TrainingRun cpu = train_tiny(folders.path("cpu"), c.ranks, arguments);
  const TrainingRun gpu = train_tiny(folders.path("gpu"), c.ranks, arguments + " --run.device=cuda", kStandIn);
  ASSERT_EQ(cpu.steps.size(), 3U);
  expect_same_steps(cpu, gpu, c.name, kFloat);
  const double loss = cpu.evaluation.at("eval").at("loss").get<double>();
  EXPECT_NEAR(gpu.evaluation.at("eval").at("loss").get<double>(), loss, kFloat * loss) << c.name;
}

const Case kCases[] = {
    {"OneRank", 1, "--run.check_comm=on --model.dropout=0.1 --attention.pick_heads=query"},
    {"TwoRanks", 2, "--run.check_comm=on --exchange.plan=rows --parallel.layout=zigzag"},
    {"ThroughHostMemory", 3, "--parallel.transport=mpi --exchange.plan=all --memory.recompute=layer"},
    {"Replicas", 4, "--parallel.sequence_ranks=2 --exchange.plan=auto --memory.rows=fetch_again"},
    {"ByHeads", 2, "--exchange.plan=heads --data.task=mlm --attention.draw=uniform"},
    {"Dense", 2, "--attention.pattern=dense,window --exchange.overlap=off"},
};
INSTANTIATE_TEST_SUITE_P(Runs, DeviceRun, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

// Factors in bfloat16, weights in float32: rows travel in half the bytes, losses differ by rounding, ranks agree to it.
TEST(DeviceRun, MultipliesInBfloat16) {
  const TempFolder folders;
  const std::string steps = kShape +
                            "--train.steps=3 --train.warmup_steps=1 --exchange.plan=rows "
                            "--parallel.layout=zigzag --run.device=cuda ";
  const TrainingRun wide = train_tiny(folders.path("float32"), 2, steps, kStandIn),
                    one = train_tiny(folders.path("one"), 1, steps + "--run.matmul=bfloat16", kStandIn),
                    two = train_tiny(folders.path("two"), 2, steps + "--run.matmul=bfloat16", kStandIn);
  ASSERT_EQ(two.steps.size(), 3U);
  for (const auto& [step, record] : wide.steps) {
    const double loss = record.at("loss");
    EXPECT_NE(two.steps.at(step).at("loss").get<double>(), loss) << "it rounds";
    for (const TrainingRun* run : {&one, &two})
      EXPECT_NEAR(run->steps.at(step).at("loss").get<double>(), loss, 2e-3 * loss) << "step " << step;
  }
  const auto &bytes = two.steps.at(1).at("sent_bytes"), &wide_bytes = wide.steps.at(1).at("sent_bytes");
  EXPECT_EQ(two.steps.at(1).at("picks_hash"), wide.steps.at(1).at("picks_hash"));
  for (const char* what : {"rows", "rows_backward", "band_halo"}) {
    EXPECT_GT(bytes.at(what).get<double>(), 0) << what;
    EXPECT_EQ(2 * bytes.at(what).get<double>(), wide_bytes.at(what).get<double>()) << what;
  }
  // What computes on a CPU takes the checkpoint all the same.
  for (const char* command : {"evaluate --eval.sequences=1", "generate --tokens=3 --prompt=a"}) {
    const CommandResult result = smartbird(1, std::string(command) + " --checkpoint=" + folders.path("two"));
    EXPECT_EQ(result.code, 0) << command << "\n" << result.output;
  }
}

// Whatever way rows take, the first loss is that of one rank to the order of sums, and so are gradients, which are rounded where they
// travel. The next loss is that of weights whose smallest gradients had another sign: its own rounding is another one, 0.001 or two.
TEST(DeviceRun, MultipliesInBfloat16ByOtherWays) {
  const TempFolder folders;
  const std::string steps = kShape +
                            "--train.steps=2 --train.warmup_steps=1 --parallel.layout=zigzag --init.scale=0.2 "
                            "--run.device=cuda --run.matmul=";
  const auto loss = [](const TrainingRun& run, int step) { return run.steps.at(step).at("loss").get<double>(); };
  const auto norm = [](const TrainingRun& run) { return run.steps.at(1).at("grad_norm").get<double>(); };
  const TrainingRun wide = train_tiny(folders.path("wide"), 1, steps + "float32", kStandIn),
                    one = train_tiny(folders.path("one"), 1, steps + "bfloat16", kStandIn);
  EXPECT_GT(std::abs(loss(one, 1) - loss(wide, 1)), 1e-5) << "rounding shows";
  for (const std::string way : {"--exchange.plan=heads", "--exchange.plan=all --memory.rows=fetch_again",
                                "--exchange.plan=auto --parallel.transport=mpi --memory.recompute=layer"}) {
    const TrainingRun run =
        train_tiny(folders.path(std::to_string(way.size())), 2, steps + "bfloat16 " + way, kStandIn);
    EXPECT_EQ(run.steps.at(1).at("picks_hash"), one.steps.at(1).at("picks_hash")) << way;
    EXPECT_NEAR(loss(run, 1), loss(one, 1), 2e-6 * loss(one, 1)) << way;
    EXPECT_NEAR(norm(run), norm(one), 5e-4 * norm(one)) << way;
    EXPECT_NEAR(loss(run, 2), loss(one, 2), 2e-3 * loss(one, 2)) << way;
  }
}

// A run may change its device where it stops.
TEST(DeviceRun, GoesOnFromTheCpusCheckpoint) {
  const TempFolder folders;
  const std::string steps = kShape + "--train.steps=4 --train.warmup_steps=1 --eval.at_end=off ";
  const TrainingRun whole = train_tiny(folders.path("whole"), 1, steps);
  train_tiny(folders.path("parts"), 1, steps + "--train.stop_after=2");
  train_tiny(folders.path("parts"), 2, steps + "--train.stop_after=3 --run.resume=auto --run.device=cuda", kStandIn);
  expect_same_steps(whole, train_tiny(folders.path("parts"), 1, steps + "--run.resume=auto"), "resumed", kFloat);
  // A checkpoint does not remember the device.
  const CommandResult evaluation =
      smartbird(1, "evaluate --checkpoint=" + folders.path("parts") + " --eval.sequences=1");
  EXPECT_EQ(evaluation.code, 0) << evaluation.output;
}

TEST(DeviceRun, FineTuningIsTheCpus) {
  const TempFolder folders;
  {
    std::ofstream data(folders.path("labels.jsonl"));
    for (int i = 0; i < 6; ++i)
      data << nlohmann::json{{"text", std::string(static_cast<size_t>(20 + 7 * i), static_cast<char>('a' + i))},
                             {"label", i % 3 == 0 ? "x" : "y"}}
                  .dump()
           << "\n";
  }
  train_tiny(folders.path("before"), 1,
             kShape + "--train.steps=2 --train.warmup_steps=1 --eval.at_end=off --data.task=mlm");
  for (const std::string device : {"cpu", "cuda"}) {
    const CommandResult result =
        smartbird(2,
                  "finetune --config configs/tiny.ini " + kShape + "--init.checkpoint=" + folders.path("before") +
                      " --data.task=classify --model.pooling=statistics --data.valid= --data.train=" +
                      folders.path("labels.jsonl") +
                      " --train.steps=2 --train.warmup_steps=1 --eval.at_end=off --run.device=" + device +
                      " --run.dir=" + folders.path(device),
                  device == "cpu" ? SMARTBIRD_BINARY : kStandIn);
    ASSERT_EQ(result.code, 0) << result.output;
  }
  expect_same_steps(read_run(folders.path("cpu")), read_run(folders.path("cuda")), "finetune", kFloat);
}

TEST(DeviceRun, WhatTheKernelsCannotIsSaidBeforeAnyWork) {
  const CommandResult result =
      smartbird(1,
                "pretrain --config configs/tiny.ini --run.device=cuda --run.dtype=float64 --attention.draw=topk "
                "--memory.kv_dtype=bfloat16 --run.dir=/nonexistent",
                kStandIn);
  EXPECT_EQ(result.code, 2);
  for (const char* sentence :
       {"run.device = cuda: run.dtype = float64, a GPU trains in float32",
        "run.device = cuda: heads are 8 wide, its kernels take 32, 64 or 128; change model.heads or model.head_width",
        "run.device = cuda: sketch.width = 8, its kernels take 16, 32 or 64",
        "run.device = cuda: attention.draw = topk, a GPU draws poisson, uniform or none",
        "run.device = cuda: memory.kv_dtype = bfloat16, a GPU keeps and fetches them as they are"})
    EXPECT_NE(result.output.find(sentence), std::string::npos) << sentence << "\n" << result.output;
}

TEST(DeviceRun, MemoryThatIsMissingIsSaid) {
  const TempFolder folders;
  const CommandResult result =
      smartbird(1,
                "pretrain --config configs/tiny.ini " + kShape +
                    "--model.mlp_width=4194304 --run.device=cuda --run.dir=" + folders.path("run"),
                kStandIn);
  EXPECT_EQ(result.code, 5);
  EXPECT_NE(result.output.find("out of memory; lower train.micro_tokens or the model's sizes"), std::string::npos)
      << result.output;
}

TEST(DeviceRun, TheFirstLineSaysWhereItComputes) {
  const TempFolder folders;
  const std::string run = "pretrain --config configs/tiny.ini " + kShape +
                          "--train.steps=1 --train.warmup_steps=1 --eval.at_end=off --run.device=cuda --run.dir=";
  EXPECT_NE(smartbird(1, run + folders.path("nccl"), kStandIn).output.find(", on GPUs, tensors over NCCL)"),
            std::string::npos);
  const std::string staged = smartbird(1, run + folders.path("mpi") + " --parallel.transport=mpi", kStandIn).output;
  EXPECT_NE(staged.find(", on GPUs)"), std::string::npos) << staged;
}

TEST(DeviceRun, ABuildWithoutKernelsRefuses) {
  if (SMARTBIRD_WITH_NCCL) GTEST_SKIP() << "this build has kernels for a GPU";
  const CommandResult result =
      smartbird(1, "pretrain --config configs/tiny.ini " + kShape + "--run.device=cuda --run.dir=/nonexistent");
  EXPECT_EQ(result.code, 4);
  EXPECT_NE(result.output.find("run.device = cuda, but this build has no kernels for a GPU; leave it at cpu, or build "
                               "with the cuda preset"),
            std::string::npos)
      << result.output;
}

}  // namespace
}  // namespace smartbird::testing
