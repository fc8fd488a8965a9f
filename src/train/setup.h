// What has to be opened, found and checked before the first step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/world.h"
#include "config/parse.h"
#include "data/corpus.h"
#include "data/sampler.h"
#include "model/transformer.h"
#include "train/checkpoint.h"

namespace smartbird {

struct Corpora {
  std::unique_ptr<Corpus> train, valid, test;  // valid and test may be empty
};

// data.* as an evaluation reads it: sequences of eval.sequence_tokens.
[[nodiscard]] DataOptions evaluation_data(const Options& options);
// Corpus order, unshifted cuts.
[[nodiscard]] Sampler evaluation_sampler(const Options& options, const Corpus& corpus);
// That an evaluation has sequences, as many as eval.sequences asks for, and a tokenizer that eval.seen_before can read.
// `key`: the option that named the corpus.
void check_evaluation(const Options& options, const Corpus& corpus, const std::string& key);
[[nodiscard]] Corpora open_corpora(const Options& options, const std::vector<std::string>& classes);
// Classes of init.checkpoint, empty when it has none or another task.
[[nodiscard]] std::vector<std::string> classes_of_checkpoint(const Options& options);
// What can be refused before any data is opened: a run folder that cannot be written or holds another run, a resume from
// nothing or with other options. Returns the folder run.resume names, "" for a fresh start, the same on all ranks.
// attention.pattern = auto becomes what that run made of it.
[[nodiscard]] std::string checkpoint_to_resume(const World& world, ParsedOptions& options);
// Options that may not differ from the checkpoint's: everything but parallel, exchange, memory, run, checkpoint, eval,
// train.steps, train.stop_after, what run.allow_change lists and what it says nothing of. All differences in one error.
void check_resume(const std::string& folder, const ParsedOptions& options);
// Returns the names that the checkpoint does not have.
std::vector<std::string> load_initial_weights(const World& world, const Options& options, const Corpus& corpus,
                                              Parameters& parameters);
// That every rank reads the same documents. Collective.
void check_same_data(const World& world, const std::string& key, const Corpus& corpus);
void check_tokenizer(const Corpus& corpus, const CheckpointMeta& meta, const std::string& key);
// run.threads, or OMP_NUM_THREADS, or the cores of this host shared by its ranks.
void set_threads(const World& world, int64_t threads);
// run.matmul, on every rank alike: where one rank cannot round none does, that is said once, and run.matmul of the run and its
// checkpoints is float32: a resume elsewhere is held against what was. Collective.
void set_products(const World& world, ParsedOptions& options);
// The same where nothing is kept.
void set_products(const World& world, const Options& options);
// Element type and place of the weights.
[[nodiscard]] at::TensorOptions weights_of(const Options& options, at::Device device);
// exchange.link, measured in the sequence group where it says so and exchange.plan = auto needs it. Collective.
[[nodiscard]] Link link_of(const World& world, const Options& options, at::Device device);
// Says from one rank when an epoch is smaller than a step.
void warn_of_small_data(const World& world, const Options& options, const Corpus& corpus);
[[nodiscard]] std::string banner(const World& world, const Options& options, const Transformer& model,
                                 const Corpora& data, const Link& link);

}  // namespace smartbird
