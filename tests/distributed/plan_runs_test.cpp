// Law: what `smartbird plan` predicts is what a real step takes: peak memory within 15 %, bytes of the operations that do
// not depend on the picks exactly, errors as those of a run.
#include <cmath>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

const std::string kModel =
    "--config configs/tiny.ini --model.width=128 --model.layers=3 --attention.query_block=8 --eval.sequences=1 ";

nlohmann::json plan(const std::string& arguments) {
  const TempFolder folder;
  const std::string file = folder.path("plan.json");
  const CommandResult result = smartbird(1, "plan --json=" + file + " " + arguments);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_NE(result.output.find("peak memory: "), std::string::npos) << result.output;
  std::ifstream in(file);
  return nlohmann::json::parse(in);
}

double measured_peak(const std::string& arguments) {
  const TempFolder folder;
  const CommandResult result =
      smartbird(1, "pretrain --run.dir=" + folder.path("run") + " --train.stop_after=2 --eval.at_end=off " + arguments);
  EXPECT_EQ(result.code, 0) << result.output;
  return read_run(folder.path("run")).steps.at(2).at("peak_memory_bytes").get<double>();
}

void expect_peak(const std::string& arguments) {
  const double predicted = plan(arguments).at("memory").at("peak_bytes").get<double>(),
               measured = measured_peak(arguments);
  std::printf("%s: predicted %.0f MiB, measured %.0f MiB\n", arguments.c_str(), predicted / 1048576,
              measured / 1048576);
  EXPECT_NEAR(predicted / measured, 1, 0.15) << arguments << ": predicted " << predicted << ", measured " << measured;
}

std::string of_tokens(int64_t tokens) {
  const std::string count = std::to_string(tokens);
  return kModel + "--data.sequence_tokens=" + count + " --train.batch_tokens=" + count + " ";
}

TEST(PlanRuns, PeakMemoryIsWithinFifteenPercent) {
  expect_peak(of_tokens(8192));
  expect_peak(of_tokens(16384));
  expect_peak(of_tokens(16384) + "--memory.recompute=layer");
}

void expect_bytes(int ranks, const std::string& more, std::initializer_list<const char*> operations) {
  const TempFolder folder;
  const std::string arguments =
      "--config configs/tiny.ini --sketch.probes=0 --data.sequence_tokens=512 --train.batch_tokens=512 " + more;
  const auto predicted = plan(arguments + " --ranks=" + std::to_string(ranks)).at("sent_bytes");
  const CommandResult result = smartbird(
      ranks, "pretrain --run.dir=" + folder.path("run") + " --train.stop_after=1 --eval.at_end=off " + arguments);
  ASSERT_EQ(result.code, 0) << result.output;
  const auto sent = read_run(folder.path("run")).steps.at(1).at("sent_bytes");
  for (const char* what : operations)
    EXPECT_EQ(predicted.at(what).get<double>(), sent.at(what).get<double>()) << what << " " << more;
  if (!sent.contains("pick_lists")) return;
  // A block picks at most as many keys as its budget on average: certain picks count once.
  const double lists = sent.at("pick_lists").get<double>(), most = predicted.at("pick_lists").get<double>();
  EXPECT_LE(lists, most);
  EXPECT_GT(lists, 0.7 * most);
}

TEST(PlanRuns, BytesThatNoPickChangesAreExact) {
  expect_bytes(3, "",
               {"sketch_keys", "band_halo", "band_halo_backward", "convolution_halo", "gradients", "parameters"});
  const auto heads = {"head_queries", "head_queries_backward", "head_outputs", "head_outputs_backward",
                      "head_rows",    "head_rows_backward"};
  expect_bytes(2, "--exchange.plan=heads", heads);
  expect_bytes(2, "--exchange.plan=heads --memory.recompute=layer --memory.kv_dtype=bfloat16", heads);
}

TEST(PlanRuns, TimesADrawByItself) {
  const auto of_draw = [](const std::string& more) { return plan(of_tokens(8192) + more); };
  const auto seconds = [](const nlohmann::json& plan) {
    return plan.at("work").at("draw").at("seconds").get<double>();
  };
  const auto poisson = of_draw("");
  EXPECT_GT(seconds(of_draw("--attention.draw=iid")), 1.5 * seconds(poisson)) << "thousands of numbers a block";
  EXPECT_GT(seconds(poisson), 0);
  for (const std::string none : {"--attention.draw=uniform", "--attention.pattern=dense"}) {
    const auto plan = of_draw(none);
    EXPECT_EQ(seconds(plan), 0) << none;
    EXPECT_FALSE(plan.at("rates_per_s").contains("draw")) << none;
  }
}

// Nothing of the model's size is allocated: 10^13 parameters are planned on any machine.
TEST(PlanRuns, OfAModelTooLargeForThisMachine) {
  const CommandResult result =
      smartbird(1,
                "plan --model.width=1048576 --model.heads=8192 --model.kv_heads=1024 --data.sequence_tokens=100 "
                "--train.batch_tokens=100");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_NE(result.output.find("model: 4"), std::string::npos) << result.output;
}

TEST(PlanRuns, OfAGpuSaysWhatIsTheCpus) {
  const std::string warning =
      "warning: run.device = cuda: bytes that travel are those of GPUs, memory, rates and times";
  for (const std::string device : {"cpu", "cuda"}) {
    const CommandResult result = smartbird(1,
                                           "plan --config configs/tiny.ini --model.heads=1 --model.kv_heads=1 "
                                           "--model.width=32 --sketch.width=16 --run.device=" +
                                               device);
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_EQ(result.output.find(warning) != std::string::npos, device == "cuda") << result.output;
  }
}

TEST(PlanRuns, ErrorsAreOneSentence) {
  const struct {
    std::string arguments, message;
    int code;
  } cases[] = {
      {"--ranks=0", "plan: --ranks = 0 must be from 1 to 1000000", 2},
      {"--phi=2", "plan: --phi = 2 must be from 0 to 1", 2},
      {"--phi=-1", "plan: --phi = -1 must be from 0 to 1", 2},
      {"--foo=1", "unknown option '--foo'; see smartbird options", 2},
      {"--data.sequence_tokens=3000000000 --train.batch_tokens=3000000000",
       "plan: 3000000000 tokens share one stream, at most 2^31 - 1 may", 2},
      {"--config configs/tiny.ini --model.layerz=3", "unknown option '--model.layerz'; did you mean '--model.layers'?",
       2},
      {"--config configs/nowhere.ini", "configs/nowhere.ini", 2},
      {"--config configs/tiny.ini --ranks=3 --parallel.sequence_ranks=2",
       "parallel.sequence_ranks = 2 does not divide the 3 ranks of this run", 2},
      {"--config configs/tiny.ini --data.train=nowhere.txt", "nowhere.txt", 3},
      {"--config configs/tiny.ini --json=/nowhere/plan.json",
       "plan: --json=/nowhere/plan.json cannot be written; name a file in a folder", 3},
  };
  for (const auto& c : cases) {
    const CommandResult result = smartbird(1, "plan " + c.arguments);
    EXPECT_EQ(result.code, c.code) << c.arguments << "\n" << result.output;
    EXPECT_NE(result.output.find(c.message), std::string::npos) << c.arguments << "\n" << result.output;
  }
}

}  // namespace
}  // namespace smartbird::testing
