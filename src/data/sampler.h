// The order of training: which piece of which document is sample number s, over all epochs. A pure function of the
// corpus, the seed and s; the world size never enters, and the position of a run is one number, the next sample.
// Documents are cut into sequences of at most sequence_tokens (cuts depend on document and epoch only: the first cut of
// a long document is shifted in every epoch after the first, unless `fixed`; the tail is a shorter sequence); every
// document comes exactly once an epoch (times its weight; weights below 1 never leave an epoch empty); the order within
// an epoch is a keyed permutation of O(1) memory (fixed: corpus order).
#pragma once

#include <cstdint>
#include <vector>

#include "data/corpus.h"

namespace smartbird {

struct Sample {
  int64_t number = 0;  // in the whole order of the run
  int64_t document = 0;
  int64_t begin = 0;   // first token, in the document
  int64_t length = 0;  // tokens
};

struct SamplerOptions {
  uint64_t seed = 0;
  int64_t sequence_tokens = 0;
  bool cut_documents = true;  // false (classify): one sequence a document, truncated to sequence_tokens
  bool fixed = false;         // evaluation: corpus order, unshifted cuts
};

class Sampler {
 public:
  Sampler(const Corpus& corpus, SamplerOptions options);
  [[nodiscard]] Sample at(int64_t number) const;
  [[nodiscard]] int64_t epoch_of(int64_t number) const;
  [[nodiscard]] int64_t epoch_begin(int64_t epoch) const;  // number of the epoch's first sample

  // The samples of the optimizer step that starts at `next`: in order, until the next one would exceed batch_tokens
  // (at least one) or the epoch ends, so the last batch of an epoch may be smaller.
  [[nodiscard]] std::vector<Sample> batch(int64_t next, int64_t batch_tokens) const;

 private:
  struct Epoch {
    int64_t index = -1, first_number = 0;
    std::vector<int64_t> first_sequence;  // [documents' passes + 1] cumulative sequences
    std::vector<int64_t> document;        // [passes]
  };
  const Epoch& epoch(int64_t index) const;
  [[nodiscard]] Epoch build_epoch(int64_t index, int64_t first_number) const;
  [[nodiscard]] Epoch throw_epoch(int64_t index, int64_t first_number, uint32_t attempt) const;
  [[nodiscard]] int64_t first_cut(int64_t document, int64_t epoch) const;

  const Corpus& corpus_;
  SamplerOptions options_;
  mutable std::vector<Epoch> epochs_;          // the current one and its successor
  mutable std::vector<int64_t> epoch_begins_;  // numbers of first samples, as far as known
};

// Deals the samples of a step, in order, to replicas (each to the one with the fewest tokens so far) and cuts a
// replica's list into packed streams of at most micro_tokens (a longer sample is a stream by itself).
// Result [micro_step][replica] -> samples; all replicas have the same number of micro-steps, so some are empty.
[[nodiscard]] std::vector<std::vector<std::vector<Sample>>> deal(const std::vector<Sample>& batch, int num_replicas,
                                                                 int64_t micro_tokens);

}  // namespace smartbird
