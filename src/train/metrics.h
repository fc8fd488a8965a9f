// The record of a run. Rank 0 writes RUN/metrics.jsonl, one JSON object a line, flushed; all other displays derive from
// it. After a resume, lines beyond the checkpoint's step and torn lines are cut, so that the file reads as one run.
// The console shows one line a step, or a bar with ETA on a real terminal (never under a launcher or in a file).
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "train/progress.h"

namespace smartbird {

struct StepRecord {
  int64_t step = 0, tokens = 0;        // tokens: trained since the start of the run
  double loss = 0, bits_per_byte = 0;  // bits_per_byte < 0 = does not apply (classify): not written
  double sketch_loss = 0, coverage = 0, coverage_domain = 0, coverage_uniform = 0, phi = 0;
  int64_t rows = 0;                           // distinct remote rows fetched, sum over ranks
  std::map<std::string, int64_t> sent_bytes;  // by operation, sum over ranks
  std::string plan;
  uint64_t picks_hash = 0;                             // written as 16 hex digits
  std::vector<std::vector<double>> phi_by_layer_head;  // [layers][kv heads]; [] for a layer without picks
  double imbalance = 1, sent_rows_imbalance = 1;       // largest over mean of the ranks: scan work, rows sent
  // Of the slowest rank: inside the calls that start and await exchanges; while something else was computed.
  double exchange_exposed_ms = 0, exchange_hidden_ms = 0;
  double grad_norm = 0, sketch_grad_norm = 0, lr = 0;
  std::map<std::string, double> step_ms;  // by stage
  double tokens_per_s = 0;
  int64_t peak_memory_bytes = 0;  // largest over ranks
};

struct EvalRecord {
  int64_t step = 0;
  std::string split;                     // "valid" or "test"
  std::map<std::string, double> values;  // loss, bits_per_byte, accuracy, ...
};

class Metrics {
 public:
  // Opens RUN/metrics.jsonl; resumed_step >= 0 cuts later lines first. progress: auto | bar | log | none.
  Metrics(const std::string& run_dir, int64_t resumed_step, int64_t total_steps, const std::string& progress,
          int64_t log_every);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  void step(const StepRecord& record);
  void evaluation(const EvalRecord& record);
  void message(const std::string& line);    // a plain line, clear of the bar
  void finish(const std::string& summary);  // the unmistakable end

 private:
  void cut_after(int64_t step);
  void write_line(const std::string& line);
  std::string path_;
  std::FILE* file_ = nullptr;
  Progress progress_;
};

// Whether RUN/metrics.jsonl holds an evaluation of that split at that step.
[[nodiscard]] bool evaluation_recorded(const std::string& run_dir, const std::string& split, int64_t step);

[[nodiscard]] std::string to_json(const StepRecord& record);
[[nodiscard]] std::string to_json(const EvalRecord& record);

}  // namespace smartbird
