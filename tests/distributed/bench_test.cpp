// `smartbird bench` as a user starts it: what it writes, and one sentence for each thing that can be asked wrongly.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

nlohmann::json bench(const std::string& arguments) {
  const TempFolder folder;
  const CommandResult result = smartbird(1, "bench " + arguments + " --json=" + folder.path("report.json"));
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(result.output.find("nan"), std::string::npos) << result.output;
  return result.code == 0 ? nlohmann::json::parse(read_bytes(folder.path("report.json"))) : nlohmann::json();
}

void expect_refused(const std::string& arguments, int code, const std::string& sentence) {
  const CommandResult result = smartbird(1, "bench " + arguments);
  EXPECT_EQ(result.code, code) << arguments;
  EXPECT_EQ(result.output, "smartbird: " + sentence + "\n");
}

// Each rival's answer is checked against the plain formula before it is timed, so a wrong one ends the command.
TEST(Bench, AttentionAgainstEveryRival) {
  for (const char* rival : {"none", "sdpa", "dense", "window", "torch"})
    for (const char* shape :
         {"--tokens=1", "--tokens=300 --query-block=4 --share=8 --picks=16 --window=8",
          "--tokens=129 --head-width=7 --heads=3 --causal=on --picks=5 --share=all --input=white"}) {
      SCOPED_TRACE(std::string(rival) + " " + shape);
      const nlohmann::json report = bench("attention --repeats=2 --rival=" + std::string(rival) + " " + shape);
      ASSERT_TRUE(report.contains("cases"));
      EXPECT_TRUE(report["hardware"].contains("processor"));
      EXPECT_TRUE(report["commit"].is_string());
      ASSERT_EQ(report["cases"].size(), 1u);
      const nlohmann::json& one = report["cases"][0];
      EXPECT_EQ(one["rival"], rival);
      EXPECT_EQ(one["repeats"], 2);
      double stages = 0;
      for (const char* stage : {"scan", "draw", "lists", "forward", "backward"})
        stages += one["ours_ms"][stage].get<double>();
      EXPECT_GT(stages, 0);
      EXPECT_GT(one["ours_ms"]["total"], 0);
      if (std::string(rival) == "none") continue;
      EXPECT_NEAR(one["ratio"], one["rival_ms"]["total"].get<double>() / one["ours_ms"]["total"].get<double>(), 1e-9);
      EXPECT_GT(one["rival_share_of_peak"], 0);
    }
}

// Draws differ in how many pairs they attend: those of exactly K keys are alike, others are not.
TEST(Bench, EveryDraw) {
  const std::string shape = " --tokens=200 --heads=2 --picks=8 --window=4 --repeats=1 --draw=";
  std::map<std::string, double> pairs;
  for (const char* draw : {"poisson", "systematic", "gumbel", "iid", "topk", "bigbird", "uniform", "none"}) {
    const nlohmann::json report = bench("attention" + shape + draw);
    ASSERT_TRUE(report.contains("cases")) << draw;
    pairs[draw] = report["cases"][0]["attended_pairs"];
  }
  EXPECT_EQ(pairs["gumbel"], pairs["topk"]);
  EXPECT_EQ(pairs["gumbel"], pairs["bigbird"]);
  std::set<double> different;
  for (const auto& [draw, count] : pairs) {
    different.insert(count);
    EXPECT_GE(count, pairs["none"]) << draw;
  }
  EXPECT_EQ(different.size(), 6u) << nlohmann::json(pairs);
  const std::string many = "attention --tokens=200 --heads=2 --picks=100 --window=4 --repeats=1";  // some are certain
  const nlohmann::json filled = bench(many)["cases"][0]["attended_pairs"];
  EXPECT_EQ(filled, bench(many + " --fill=on")["cases"][0]["attended_pairs"]);
  EXPECT_GT(filled, bench(many + " --fill=off")["cases"][0]["attended_pairs"]);
  for (const auto& [draw, scans] :
       {std::pair{"poisson", true}, std::pair{"poisson --fill=off", true}, std::pair{"topk", false}}) {
    const nlohmann::json step = bench("step --layers=1 --width=32 --head-width=16" + shape + draw);
    ASSERT_TRUE(step.contains("cases")) << draw;
    EXPECT_EQ(step["cases"][0]["ours_ms"].contains("scan"), scans) << draw;
  }
  for (const nlohmann::json& one : bench("kernels" + shape + "none")["cases"]) {
    EXPECT_LT(one["share_of_ceiling"], 1.5) << one["kernel"];
    if (one["kernel"] != "draw") continue;
    EXPECT_EQ(one["gflops"], 0) << "it reads no scores";
  }
}

TEST(Bench, KernelsAndStep) {
  const nlohmann::json kernels = bench("kernels --tokens=200 --repeats=1 --heads=2 --picks=8 --window=4");
  ASSERT_TRUE(kernels.contains("cases"));
  for (const nlohmann::json& one : kernels["cases"]) {
    EXPECT_GT(one["ours_ms"]["one_thread"], 0) << one["kernel"];
    EXPECT_GT(one["ceilings"]["fma_gflops"], 0);
  }
  const nlohmann::json step =
      bench("step --tokens=100 --layers=1 --width=32 --head-width=16 --repeats=1 --rival=dense");
  ASSERT_TRUE(step.contains("cases"));
  EXPECT_GT(step["cases"][0]["tokens_per_s"], 0);
  EXPECT_GT(step["cases"][0]["ratio"], 0);
}

TEST(Bench, RunsOnTheInstructionSetOfTheEnvironment) {
  ASSERT_EQ(setenv("SMARTBIRD_INSTRUCTION_SET", "scalar", 1), 0);
  const nlohmann::json report = bench("attention --tokens=50 --repeats=1 --heads=1 --head-width=8");
  ASSERT_EQ(setenv("SMARTBIRD_INSTRUCTION_SET", "AVX9", 1), 0);
  const CommandResult refused = smartbird(1, "bench attention");
  ASSERT_EQ(unsetenv("SMARTBIRD_INSTRUCTION_SET"), 0);
  ASSERT_TRUE(report.contains("hardware"));
  EXPECT_EQ(report["hardware"]["instruction_set"], "SCALAR");
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(
      refused.output.find("smartbird: SMARTBIRD_INSTRUCTION_SET: instruction set 'AVX9' is none that runs here: "), 0u)
      << refused.output;
}

TEST(Bench, RefusesWhatItCannotDo) {
  expect_refused("", 2, "bench: '' is none of attention, step, kernels, exchange; see smartbird bench --help");
  expect_refused("attention --tokens=0 --rival=flash", 2,
                 "bench: --tokens=0 is not between 1 and 1073741824\n"
                 "bench: --rival=flash must be none, sdpa, dense, window or torch");
  expect_refused("kernels --draw=oracle", 2,
                 "bench: --draw=oracle must be poisson, systematic, gumbel, iid, topk, bigbird, uniform or none");
  expect_refused("kernels --draw=topk --fill=on", 2,
                 "bench: --fill=on is for --draw=poisson and systematic, given --draw=topk; leave it out");
  expect_refused("kernels --fill=yes", 2, "bench: --fill=yes must be auto, on or off");
  expect_refused("attention --query-block=0", 2, "bench: --query-block=0 is not between 1 and 4096");
  expect_refused("attention --causal=", 2, "bench: --causal= is neither on nor off; see smartbird bench --help");
  expect_refused("attention --share=5 --query-block=4", 2,
                 "bench: --share=5 must be 'all' or a positive multiple of --query-block=4");
  expect_refused("step --rival=sdpa", 2,
                 "bench: --rival=sdpa is for bench attention; bench step takes none, dense or window");
  expect_refused("kernels --rival=dense", 2,
                 "bench: bench kernels takes no --rival, given dense; it compares with the machine's own ceilings");
  expect_refused("attention --json=/nowhere/x", 3,
                 "bench: --json=/nowhere/x cannot be written; name a file in a folder that exists and is writable");
}

// Under limits that stop it in LibTorch, in a kernel or on a kernel's threads, or not at all. A region of one thread is one that
// no exception may leave, too.
struct Limited {
  int threads, mib;
  std::string draw;
};
void PrintTo(const Limited& limited, std::ostream* out) { *out << limited.threads << " threads, " << limited.draw; }
class BenchMemory : public ::testing::TestWithParam<Limited> {};
INSTANTIATE_TEST_SUITE_P(Threads, BenchMemory,
                         ::testing::Values(Limited{2, 750, "poisson"}, Limited{1, 720, "gumbel --picks=1000"}));

TEST_P(BenchMemory, EndsWithOneSentenceWhereItIsMissing) {
  const auto [threads, least, draw] = GetParam();
  const TempFolder folder;
  int refused = 0;
  for (int mib = least; mib <= least + 360; mib += 30) {
    folder.write("limited.sh", join("ulimit -v ", mib * 1024, "\nexport OMP_NUM_THREADS=", threads, "\nexec ",
                                    SMARTBIRD_BINARY, " \"$@\"\n"));
    const CommandResult result = run_command(
        join("bash ", folder.path("limited.sh"),
             " bench attention --tokens=8192 --repeats=1 --input=white --threads=", threads, " --draw=", draw));
    if (result.code == 0) continue;
    EXPECT_EQ(result.code, 5) << mib << " MiB: " << result.output;
    EXPECT_EQ(result.output.substr(std::min(result.output.size(), result.output.find("smartbird: "))),
              "smartbird: out of memory; lower --tokens, --heads, --head-width or --picks, of a step --layers or "
              "--width\n");
    ++refused;
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace smartbird::testing
