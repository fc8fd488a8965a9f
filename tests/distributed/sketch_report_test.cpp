// evaluate --sketch.report, as a user calls it: tables, a file, and one sentence where there is nothing to report on.
#include <filesystem>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

// kv heads fewer than query heads, sketches of their own for two layers, one of three layers without a sketch.
constexpr const char* kModel =
    "--train.steps=3 --train.warmup_steps=1 --eval.at_end=off --model.layers=3 --model.heads=4 --model.kv_heads=2 "
    "--attention.pattern=sparse,sparse,window --sketch.location=layer --attention.picks=4 --attention.window=3 ";

TEST(SketchReport, IsPrintedAndWritten) {
  const TempFolder folders;
  train_tiny(folders.path("run"), 1, kModel);
  const std::string evaluate = "evaluate --checkpoint=" + folders.path("run") + " ";
  const CommandResult plain = smartbird(1, evaluate), printed = smartbird(1, evaluate + "--sketch.report");
  ASSERT_EQ(printed.code, 0) << printed.output;
  EXPECT_TRUE(printed.output.starts_with(plain.output)) << printed.output;
  for (const char* line : {"\ndraw: poisson, temperature 0.5, floor 0.1, fills its budget\n", "\n0.0 ", "\n1.3 ",
                           "\nall ", "\nK 256 ", "\nM 8 ", "   1   all "})
    EXPECT_NE(printed.output.find(line), std::string::npos) << line << "\n" << printed.output;
  const std::string file = folders.path("run") + "/checkpoints/step_00000003/sketch_report.json";
  ASSERT_TRUE(std::filesystem::exists(file));
  const auto report = nlohmann::json::parse(std::ifstream(file));
  ASSERT_EQ(report.at("heads").size(), 8U);
  for (const auto& head : report.at("heads")) {
    EXPECT_NEAR(head.at("band").get<double>() + head.at("domain").get<double>(), 1, 1e-6);
    EXPECT_LE(head.at("caught").at("sketch").get<double>(), head.at("caught").at("oracle").get<double>() + 1e-9);
    EXPECT_GT(head.at("output_error").get<double>(), 0);
  }
  EXPECT_EQ(smartbird(1, "checkpoint verify " + folders.path("run")).code, 0);
  const CommandResult again = smartbird(1, evaluate + "--sketch.report=" + folders.path("own.json"));
  EXPECT_EQ(again.output, printed.output);
  EXPECT_EQ(nlohmann::json::parse(std::ifstream(folders.path("own.json"))), report);
  EXPECT_EQ(report.at("draw").dump(), R"({"fill":true,"floor":0.1,"mode":"poisson","temperature":0.5})");
  const CommandResult other = smartbird(1, evaluate + "--sketch.report --attention.fill=off");
  EXPECT_NE(other.output.find("\ndraw: poisson, temperature 1, floor 0.1\n"), std::string::npos) << other.output;
}

TEST(SketchReport, RefusesWhatHasNoSketch) {
  const TempFolder folders;
  train_tiny(folders.path("run"), 1, kModel);
  const std::string evaluate = "evaluate --checkpoint=" + folders.path("run") + " --sketch.report";
  const auto refuses = [&](int ranks, const std::string& options, int code, const std::string& says) {
    const CommandResult result = smartbird(ranks, evaluate + options);
    EXPECT_EQ(result.code, code) << options << "\n" << result.output;
    EXPECT_NE(result.output.find(says), std::string::npos) << options << "\n" << result.output;
    EXPECT_EQ(result.output.find("loss:"), std::string::npos) << "before any work\n" << result.output;
  };
  refuses(2, "", 2, "evaluate: --sketch.report looks at all keys on one rank, here are 2; start it without mpirun");
  refuses(1, " --attention.draw=uniform", 2, "attention.draw = uniform, which asks no sketch");
  refuses(1, " --eval.draw=dense", 2, "eval.draw = dense, where nothing is drawn; add --eval.draw=same");
  refuses(1, " --attention.picks=0", 2, "attention.picks = 0; add --attention.picks=K");
  refuses(1, " --attention.pattern=window", 2, "no layer is sparse");
  refuses(1, "=/nowhere/report.json", 3, "evaluate: --sketch.report=/nowhere/report.json cannot be written");
  refuses(1, "=", 2, "--sketch.report= names no file");
  refuses(1, "=a.json --sketch.report=b.json", 2, "--sketch.report is given twice; leave one out");
}

}  // namespace
}  // namespace smartbird::testing
