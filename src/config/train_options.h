// Sections train and data: how a run learns, and from what.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/declare.h"

namespace smartbird {

struct TrainOptions {
  int64_t steps = 0, stop_after = 0, batch_tokens = 0, micro_tokens = 0, warmup_steps = 0, patience = 0;
  double learning_rate = 0, head_learning_rate = 0, sketch_learning_rate = 0, final_learning_rate_share = 0, beta1 = 0,
         beta2 = 0, epsilon = 0, weight_decay = 0, clip_norm = 0, sketch_clip_norm = 0;
  std::string schedule, freeze;
  template <class V>
  void visit(V& v) {
    v("train.steps", steps, 1000, at_least(0), "optimizer steps of the whole run");
    v("train.stop_after", stop_after, 0, at_least(0),
      "end early after this step, with a checkpoint; the schedule is unchanged; 0 = off");
    v("train.batch_tokens", batch_tokens, 16384, at_least(1), "tokens of an optimizer step over all ranks");
    v("train.micro_tokens", micro_tokens, 0, at_least(0),
      "largest packed stream of a micro-step, in tokens (a longer sequence is a stream by itself); 0 = a replica's "
      "share of the batch");
    v("train.learning_rate", learning_rate, 2e-3, at_least(0.0),
      "peak learning rate of the model; 0 leaves it as it is (finetune: train the head alone)");
    v("train.head_learning_rate", head_learning_rate, 0.0, at_least(0.0),
      "classify: peak learning rate of classifier and attention pooling; 0 = train.learning_rate");
    v("train.sketch_learning_rate", sketch_learning_rate, 1e-2, positive(), "peak learning rate of the sketch");
    v("train.final_learning_rate_share", final_learning_rate_share, 0.1, between(0.0, 1.0),
      "learning rate at the last step, as a share of the peak");
    v("train.schedule", schedule, "cosine", one_of({"cosine", "linear", "constant"}),
      "decay of the learning rate after the warm-up");
    v("train.warmup_steps", warmup_steps, 100, at_least(0), "steps over which the learning rate rises linearly");
    v("train.beta1", beta1, 0.9, between(0.0, 0.999999), "AdamW: decay of the first moment");
    v("train.beta2", beta2, 0.95, between(0.0, 0.9999999), "AdamW: decay of the second moment");
    v("train.epsilon", epsilon, 1e-8, positive(), "AdamW: added to the root of the second moment");
    v("train.weight_decay", weight_decay, 0.1, at_least(0.0),
      "AdamW: decoupled decay of matrices; norms and biases have none");
    v("train.clip_norm", clip_norm, 1.0, at_least(0.0), "largest global gradient norm of the model; 0 = off");
    v("train.sketch_clip_norm", sketch_clip_norm, 1.0, at_least(0.0),
      "largest global gradient norm of the sketch; 0 = off");
    v("train.freeze", freeze, "none", one_of({"none", "model"}),
      "model: only the sketch learns (finetune: a sketch for a model that was trained densely)");
    v("train.patience", patience, 0, at_least(0),
      "stop after this many evaluations without a better eval.metric; 0 = off");
  }
};

struct DataOptions {
  std::vector<std::string> train, valid, test;
  std::string task, tokenizer, vocabulary, field, prompt_field, response_field, label_field, generate;
  int64_t sequence_tokens = 0, prefix_tokens = 0, limit_tokens = 0;
  double mask_share = 0;
  template <class V>
  void visit(V& v) {
    v("data.train", train, "", any(),
      "shards or raw text: files, folders, globs, separated by commas; PATH@W takes W passes (0.001 to 1000) over it "
      "an "
      "epoch");
    v("data.valid", valid, "", any(), "what eval.every evaluates; same forms as data.train");
    v("data.test", test, "", any(), "what is evaluated at the end; same forms as data.train");
    v("data.task", task, "clm", one_of({"clm", "mlm", "classify"}),
      "next token, masked tokens, or one label a document");
    v("data.tokenizer", tokenizer, "bytes", one_of({"bytes", "words"}),
      "tokenizer for raw text; shards carry their own");
    v("data.vocabulary", vocabulary, "", any(),
      "with data.tokenizer = words: a file with a word a line; white space parts words in a text, all of which must be "
      "in it");
    v("data.sequence_tokens", sequence_tokens, 1024, at_least(1), "longest sequence; longer documents are cut");
    v("data.limit_tokens", limit_tokens, 0, at_least(0),
      "clm, mlm: only the first tokens of data.train are used, in the order of its sources; 0 = all");
    v("data.prefix_tokens", prefix_tokens, 0, at_least(0),
      "clm: the first tokens of a sequence that all its rows may see (prefix-LM)");
    v("data.mask_share", mask_share, 0.15, between(0.0, 1.0),
      "mlm: share of tokens to predict (80 % masked, 10 % random, 10 % kept)");
    v("data.field", field, "text", any(), "JSONL, TSV: name of the text column");
    v("data.label_field", label_field, "label", any(), "JSONL, TSV: name of the label column (classify)");
    v("data.prompt_field", prompt_field, "prompt", any(),
      "JSONL: name of the prompt; with a response, the loss counts the response only");
    v("data.response_field", response_field, "response", any(), "JSONL: name of the response");
    v("data.generate", generate, "", any(),
      "generated task to write on first use when data.train does not exist: listops | recall, with its options");
  }
};

}  // namespace smartbird
