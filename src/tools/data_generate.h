// Generated benchmark tasks, written as shards.
//   listops  Long Range Arena's ListOps (Tay et al., 2021): nested [MIN | MAX | MED | SM of digits, the value is the label
//   recall   multi-query associative recall (after Arora et al., 2023): pairs of key and value, then filler with questions in
//            it, keys whose values must be told; only those answers count in loss and accuracy
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
  int64_t count = 2000, length = 512, pairs = 32, keys = 64, values = 64, seed = 1;
  int64_t distance = 0;  // tokens at least between a question and where its key was last; 0 = an eighth of the length
  double density = 0.3;  // share of the places after the pairs, of two tokens each, that ask; the others are filler
  // Share of the samples that are easier, for training: `length` tokens or fewer, down to 32, and 2 pairs or more, each octave
  // as often, the distance in proportion. What short samples teach serves the long ones; alone they take far more steps.
  double easy = 0;
};

struct GeneratedTask {
  Documents documents;
  std::unique_ptr<Tokenizer> tokenizer;
};

// Every sample is evaluated back from its tokens to its label.
[[nodiscard]] GeneratedTask generate_listops(const ListOpsOptions& options);
// Accuracy of answering each root operator's most frequent label.
[[nodiscard]] double root_operator_baseline(const GeneratedTask& task);
// ErrorKind::Config where none of the samples has a question.
[[nodiscard]] GeneratedTask generate_recall(const RecallOptions& options);
[[nodiscard]] int64_t questions_of(const GeneratedTask& recall);

// data.generate = listops | recall (check_rules has seen to that): writes data.train, data.valid and data.test
// (200 samples each; of recall fewer from 15,729 tokens a sample on) where missing. Recall trains on easier samples too, four of five.
// ErrorKind::Data where recall of another length lies there.
void generate_on_first_use(const DataOptions& options);

}  // namespace smartbird
