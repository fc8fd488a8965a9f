// Arguments of `smartbird bench` and the table and JSON of its results.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ops/plan.h"

namespace smartbird {

struct BenchOptions {
  std::string what;  // attention | step | kernels
  int64_t tokens = 4096, query_block = 1, heads = 0, head_width = 64, picks = 64, window = 64, sketch_width = 32,
          layers = 4, width = 256, threads = 0, repeats = 0;
  std::string share = "64", draw = "poisson", fill = "auto", rival = "none", input = "correlated", json;
  bool causal = false, fills = false;  // fills: what fill comes to
  double seconds = 30;
};

// Checks values and sets defaults that depend on others (heads, threads, fills). Errors: ErrorKind::Config, all at once.
void resolve(BenchOptions& options);
// The settings of sparse attention that the options describe.
[[nodiscard]] AttentionSettings attention_settings(const BenchOptions& options, Pattern pattern);
[[nodiscard]] nlohmann::json to_json(const BenchOptions& options);
// What is attended, for a person: heads, picks and by which draw, window, visibility, input, threads.
[[nodiscard]] std::string attended_text(const BenchOptions& options);

// Each prints its table and returns the cases of the report.
[[nodiscard]] nlohmann::json bench_attention(const BenchOptions& options);
[[nodiscard]] nlohmann::json bench_step(const BenchOptions& options);
[[nodiscard]] nlohmann::json bench_kernels(const BenchOptions& options);

}  // namespace smartbird
