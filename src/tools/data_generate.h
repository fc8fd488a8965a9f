// Generated benchmark tasks, written as shards.
//   listops  Long Range Arena's ListOps (Tay et al., 2021): nested [MIN | MAX | MED | SM of digits, the value is the label
//   recall   multi-query associative recall (after Arora et al., 2023): pairs of key and value, filler, then keys whose
//            values must be told; only those answers count in loss and accuracy
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config/options.h"
#include "data/shard.h"

namespace smartbird {

inline constexpr int64_t kMostTokens = 1'000'000'000;  // of a generated shard, which is made in memory

struct ListOpsOptions {
  int64_t count = 2000, min_tokens = 500, max_tokens = 2000, max_depth = 10, max_arguments = 10, seed = 1;
};
struct RecallOptions {
  int64_t count = 2000, length = 192, pairs = 16, distance = 0, keys = 64, values = 64, seed = 1;
  // Keys asked for, each once; 0 = all pairs, where late answers follow from those before: the values that are left.
  int64_t queries = 0;
  // > 0: lengths from here to `length`, each octave as often, so that what is near is learned first; 0 = all alike.
  int64_t shortest = 0;
};

struct GeneratedTask {
  Documents documents;
  std::unique_ptr<Tokenizer> tokenizer;
};

// Every sample is evaluated back from its tokens to its label.
[[nodiscard]] GeneratedTask generate_listops(const ListOpsOptions& options);
// Accuracy of answering each root operator's most frequent label.
[[nodiscard]] double root_operator_baseline(const GeneratedTask& task);
[[nodiscard]] GeneratedTask generate_recall(const RecallOptions& options);

// data.generate = listops | recall (check_rules has seen to that): writes data.train (2,000 samples), data.valid and data.test (200 each) where missing.
void generate_on_first_use(const DataOptions& options);

}  // namespace smartbird
