// The record of a run and its display: keys, the cut after a resume, when a bar may be drawn, the step line.
#include "train/metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/error.h"
#include "train/progress.h"
#include "train/run_folder.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

StepRecord record_of(int64_t step) {
  return {.step = step,
          .tokens = 100 * step,
          .loss = 2.314,
          .bits_per_byte = 3.338,
          .sketch_loss = 0.812,
          .coverage = 0.71,
          .phi = 0.12,
          .sent_bytes = {{"rows", 5}},
          .plan = "gather",
          .picks_hash = 0xab,
          .grad_norm = 0.84,
          .lr = 3e-4,
          .step_ms = {{"forward", 1.5}},
          .tokens_per_s = 12100};
}

class MetricsTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "metrics_" + std::to_string(getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ostringstream out;
    out << std::ifstream(dir_ + "/" + name).rdbuf();
    return out.str();
  }
  std::string dir_;
};

TEST(MetricsJson, StepHasExactlyTheseKeys) {
  const auto json = nlohmann::json::parse(to_json(record_of(3)));
  std::set<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.insert(key);
  EXPECT_EQ(keys, (std::set<std::string>{"step",
                                         "tokens",
                                         "loss",
                                         "bits_per_byte",
                                         "sketch_loss",
                                         "coverage",
                                         "coverage_domain",
                                         "coverage_uniform",
                                         "phi",
                                         "phi_by_layer_head",
                                         "rows",
                                         "sent_bytes",
                                         "plan",
                                         "picks_hash",
                                         "imbalance",
                                         "sent_rows_imbalance",
                                         "exchange_exposed_ms",
                                         "exchange_hidden_ms",
                                         "grad_norm",
                                         "sketch_grad_norm",
                                         "lr",
                                         "step_ms",
                                         "tokens_per_s",
                                         "peak_memory_bytes"}));
  EXPECT_EQ(json["picks_hash"], "00000000000000ab");
  EXPECT_EQ(json["sent_bytes"]["rows"], 5);
  EXPECT_EQ(json["lr"], 3e-4);
}

TEST(MetricsJson, WhatDoesNotApplyIsLeftOutAndNaNIsNull) {
  StepRecord record = record_of(3);
  record.bits_per_byte = -1, record.loss = NAN, record.grad_norm = INFINITY, record.step_ms["x"] = NAN;
  const auto json = nlohmann::json::parse(to_json(record));
  EXPECT_FALSE(json.contains("bits_per_byte"));
  EXPECT_TRUE(json["loss"].is_null() && json["grad_norm"].is_null() && json["step_ms"]["x"].is_null());
  EXPECT_EQ(to_json(EvalRecord{4, "valid", {{"loss", 0.5}, {"accuracy", NAN}}}),
            R"({"step":4,"eval":{"accuracy":null,"loss":0.5},"split":"valid"})");
}

TEST_F(MetricsTest, ResumeCutsLaterAndTornLines) {
  testing::internal::CaptureStdout();
  {
    Metrics metrics(dir_, -1, 9, "none", 1);
    for (int64_t step = 1; step <= 4; ++step) {
      metrics.step(record_of(step));
      metrics.evaluation({step, "valid", {{"loss", 1.0}}});
    }
  }
  std::ofstream(dir_ + "/metrics.jsonl", std::ios::app) << "garbage\n{\"step\": 2, \"torn\": ";
  {
    Metrics metrics(dir_, 2, 9, "none", 1);
    metrics.step(record_of(3));
  }
  testing::internal::GetCapturedStdout();
  const EvalRecord e1{1, "valid", {{"loss", 1.0}}}, e2{2, "valid", {{"loss", 1.0}}};
  EXPECT_EQ(read("metrics.jsonl"), to_json(record_of(1)) + "\n" + to_json(e1) + "\n" + to_json(record_of(2)) + "\n" +
                                       to_json(e2) + "\n" + to_json(record_of(3)) + "\n");
  EXPECT_FALSE(fs::exists(dir_ + "/metrics.jsonl.tmp"));
}

TEST_F(MetricsTest, LogModeHasNoCarriageReturn) {
  for (const char* mode : {"log", "auto"}) {  // standard output is a file here, so auto is log
    testing::internal::CaptureStdout();
    {
      Metrics metrics(dir_, 0, 20, mode, 10);
      metrics.message("banner");
      for (int64_t step = 1; step <= 20; ++step) metrics.step(record_of(step));
      metrics.evaluation({20, "test", {{"loss", 1.0}}});
      metrics.finish("done: step 20 of 20");
    }
    const std::string out = testing::internal::GetCapturedStdout();
    EXPECT_EQ(out.find_first_of("\r\x1b"), std::string::npos) << out;
    EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 6) << out;  // banner, steps 1, 10 and 20, evaluation, end
    EXPECT_NE(out.find("step 10/20 loss 2.314"), std::string::npos) << out;
    EXPECT_NE(out.find("done: step 20 of 20"), std::string::npos) << out;
  }
}

TEST_F(MetricsTest, BarKeepsMessagesOnTheirOwnLines) {
  testing::internal::CaptureStdout();
  {
    Metrics metrics(dir_, 0, 2, "bar", 10);
    metrics.step(record_of(1));
    metrics.message("checkpoint x");
    metrics.finish("the end");
  }
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_NE(out.find("\r\x1b[K[==========          ] step 1/2"), std::string::npos) << out;
  EXPECT_NE(out.find("\r\x1b[Kcheckpoint x\n"), std::string::npos) << out;
  EXPECT_NE(out.find("\r\x1b[Kthe end (0s)\n"), std::string::npos) << out;
}

TEST_F(MetricsTest, FolderThatDoesNotExistIsAnIoError) {
  try {
    Metrics metrics(dir_ + "/absent", 0, 2, "log", 1);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Io);
  }
}

TEST(Progress, BarOnARealTerminalOnly) {
  std::map<std::string, const char*> variables{{"TERM", "xterm"}};
  const auto mode = [&](const char* wish, bool tty, int columns) {
    return choose_progress(
        wish, {tty, columns, [&](const char* name) { return variables.contains(name) ? variables[name] : nullptr; }});
  };
  EXPECT_EQ(mode("auto", true, 80), ProgressMode::Bar);
  EXPECT_EQ(mode("auto", true, 0), ProgressMode::Log);  // the pseudo-terminal of mpirun
  EXPECT_EQ(mode("auto", false, 80), ProgressMode::Log);
  EXPECT_EQ(mode("bar", false, 0), ProgressMode::Bar);
  EXPECT_EQ(mode("log", true, 80), ProgressMode::Log);
  EXPECT_EQ(mode("none", true, 80), ProgressMode::None);
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "SLURM_STEP_ID", "NO_COLOR"}) {
    variables = {{name, "1"}};
    EXPECT_EQ(mode("auto", true, 80), ProgressMode::Log) << name;
  }
  variables = {{"TERM", "dumb"}};
  EXPECT_EQ(mode("auto", true, 80), ProgressMode::Log);
  EXPECT_THROW((void)mode("fancy", true, 80), Error);
}

TEST(Progress, StepLine) {
  StepRecord record = record_of(12);
  record.peak_memory_bytes = 14'900'000'000;
  record.sent_bytes = {{"rows", 0}};
  EXPECT_EQ(step_line(record, 400, 192),
            "step 12/400 loss 2.314 bpb 3.338 sketch 0.812 cover 0.71 phi 0.12 gnorm 0.84 lr 3.0e-4 tok/s 12.1k mem "
            "14.9GB eta 3m12s");
  record.sent_bytes = {{"rows", 5}};
  record.plan = "rows+heads", record.rows = 12'400, record.imbalance = 1.25, record.exchange_exposed_ms = 12.4,
  record.exchange_hidden_ms = 80;
  EXPECT_EQ(step_line(record, 400, 192),
            "step 12/400 loss 2.314 bpb 3.338 sketch 0.812 cover 0.71 phi 0.12 gnorm 0.84 lr 3.0e-4 tok/s 12.1k plan "
            "rows+heads rows 12.4k sent 5B imb 1.25/1.00 wait 12+80ms mem 14.9GB eta 3m12s");
  record.sent_bytes.clear();
  record.step = 1, record.bits_per_byte = -1, record.peak_memory_bytes = 0;
  EXPECT_EQ(step_line(record, 400, -1),
            "step 1/400 loss 2.314 sketch 0.812 cover 0.71 phi 0.12 gnorm 0.84 lr 3.0e-4 tok/s 12.1k mem 0B eta -");
  EXPECT_EQ(duration_text(59.6), "1m00s");
  EXPECT_EQ(duration_text(5 * 3600 + 420), "5h07m");
  EXPECT_EQ(short_number(1.21e6), "1.21M");
  EXPECT_EQ(learning_rate_text(0), "0.0e+0");
  EXPECT_EQ(learning_rate_text(1e-10), "1.0e-10");
}

TEST(Progress, MedianLeavesOutTheFirstIntervalAndIgnoresOutliers) {
  StepClock clock;
  clock.add(1e9);
  EXPECT_LT(clock.median_ms(), 0);
  for (const double ms : {10.0, 12.0, 9000.0, 11.0, 13.0}) clock.add(ms);
  EXPECT_EQ(clock.median_ms(), 12.0);
  for (int i = 0; i < 64; ++i) clock.add(20.0);
  EXPECT_EQ(clock.median_ms(), 20.0);
}

TEST_F(MetricsTest, RunFolderHoldsWhatIsAllowed) {
  ASSERT_EQ(setenv("SMARTBIRD_TEST_VALUE", "seen", 1) | setenv("SLURM_JWT", "hidden", 1) |
                setenv("UNRELATED_VALUE", "hidden", 1),
            0);
  EXPECT_NE(prepare_run_folder(dir_ + "/a/run", "[run]\n", "smartbird pretrain"), nullptr);
  const auto lock = prepare_run_folder(dir_ + "/a/run", "[run]\nx = 1\n", "smartbird pretrain --run.resume=auto");
  EXPECT_THROW((void)prepare_run_folder(dir_ + "/a/run", "", ""), Error) << "in use";
  EXPECT_EQ(read("a/run/config.ini"), "[run]\nx = 1\n");
  EXPECT_EQ(read("a/run/command.txt"), "smartbird pretrain\nsmartbird pretrain --run.resume=auto\n");
  EXPECT_NE(read("a/run/env.txt").find("SMARTBIRD_TEST_VALUE=seen\n"), std::string::npos);
  EXPECT_EQ(read("a/run/env.txt").find("hidden"), std::string::npos);
  EXPECT_NE(read("a/run/build.txt").find("compiler: "), std::string::npos);
  std::ofstream(dir_ + "/file") << "x";
  for (const char* name : {"/file", "/file/below"}) {
    try {
      (void)prepare_run_folder(dir_ + name, "", "");
      FAIL() << name;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::Io);
      EXPECT_NE(std::string(e.what()).find(dir_ + name), std::string::npos) << e.what();
    }
  }
}

}  // namespace
}  // namespace smartbird
