// A whole training run as a user starts it: launch/run.sh in processes, its metrics file read back.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/temp_folder.h"

namespace smartbird::testing {

struct CommandResult {
  int code = -1;
  std::string output;  // stdout and stderr
};

inline CommandResult run_command(const std::string& command) {
  CommandResult out;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.output.append(buffer, n);
  const int status = pclose(pipe);
  out.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return out;
}

// launch/run.sh -n ranks arguments, with the binary under test or a script that calls it.
inline CommandResult smartbird(int ranks, const std::string& arguments, const std::string& binary = SMARTBIRD_BINARY) {
  return run_command("SMARTBIRD_BINARY=" + binary +
                     std::string(" OMP_NUM_THREADS=1 bash " SMARTBIRD_SOURCE_DIR "/launch/run.sh -n ") +
                     std::to_string(ranks) + " " + arguments);
}

struct TrainingRun {
  std::map<int, nlohmann::json> steps;  // step -> its record in metrics.jsonl
  nlohmann::json evaluation;            // the last one
};

inline TrainingRun read_run(const std::string& folder) {
  TrainingRun out;
  std::ifstream in(folder + "/metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    const auto record = nlohmann::json::parse(line);
    if (record.contains("eval"))
      out.evaluation = record;
    else
      out.steps[record.at("step").get<int>()] = record;
  }
  return out;
}

// Pre-trains configs/tiny.ini, changed by `arguments`, in `folder`; the command must succeed.
inline TrainingRun train_tiny(const std::string& folder, int ranks, const std::string& arguments,
                              const std::string& binary = SMARTBIRD_BINARY) {
  const CommandResult result =
      smartbird(ranks, "pretrain --config configs/tiny.ini --run.dir=" + folder + " " + arguments, binary);
  EXPECT_EQ(result.code, 0) << ranks << " ranks, " << arguments << "\n" << result.output;
  return read_run(folder);
}

inline void expect_same_steps(const TrainingRun& a, const TrainingRun& b, const std::string& what,
                              double tolerance = 1e-9) {
  ASSERT_EQ(a.steps.size(), b.steps.size()) << what;
  for (const auto& [step, expected] : a.steps) {
    const auto& record = b.steps.at(step);
    EXPECT_EQ(record.at("picks_hash"), expected.at("picks_hash")) << what << ", step " << step;
    for (const char* key : {"loss", "grad_norm", "sketch_loss"}) {
      const double value = expected.at(key).get<double>();
      EXPECT_NEAR(record.at(key).get<double>(), value, tolerance * (1 + std::abs(value)))
          << what << ", step " << step << ", " << key;
    }
  }
}

}  // namespace smartbird::testing
