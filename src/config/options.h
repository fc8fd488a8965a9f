// Every option of smartbird, declared once: name, default, range or choices, one sentence of help. The declaration
// (visit) drives the command line, the INI reader, the range checks, --help, `smartbird options --markdown` and the
// resolved dump. Units are in the names; 0 means what the help says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/declare.h"

namespace smartbird {

struct RunOptions {
  std::string dir, dtype, resume, progress;
  std::vector<std::string> allow_change;
  int64_t seed = 0, threads = 0, log_every = 0, record_picks = 0;
  bool check_comm = false;
  template <class V>
  void visit(V& v) {
    v("run.dir", dir, "runs/smartbird", any(), "folder of this run: metrics, checkpoints, resolved configuration");
    v("run.seed", seed, 1, at_least(0), "seed of weights, order, draws and masks");
    v("run.dtype", dtype, "float32", one_of({"float32", "float64"}), "element type of weights and activations");
    v("run.resume", resume, "none", any(),
      "none | auto (newest good checkpoint of run.dir, else start) | a checkpoint folder");
    v("run.allow_change", allow_change, "", any(), "options that may differ from the resumed run, by name");
    v("run.threads", threads, 0, between(0, 4096),
      "compute threads of a rank; 0 = OMP_NUM_THREADS or the cores of this host shared by its ranks");
    v("run.check_comm", check_comm, false, any(),
      "before every exchange ranks compare operation, count and type, after every update their parameters; the first "
      "difference ends the run");
    v("run.record_picks", record_picks, 0, at_least(0),
      "steps between two files RUN/picks/step-N.safetensors for smartbird simulate; 0 = none");
    v("run.log_every", log_every, 1, at_least(1), "steps between two step lines on the console");
    v("run.progress", progress, "auto", one_of({"auto", "bar", "log", "none"}),
      "how progress is shown; auto = a bar on a terminal, else plain lines");
  }
};

struct TrainOptions {
  int64_t steps = 0, stop_after = 0, batch_tokens = 0, micro_tokens = 0, warmup_steps = 0, patience = 0;
  double learning_rate = 0, head_learning_rate = 0, sketch_learning_rate = 0, final_learning_rate_share = 0, beta1 = 0,
         beta2 = 0, epsilon = 0, weight_decay = 0, clip_norm = 0, sketch_clip_norm = 0;
  std::string schedule;
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
    v("train.patience", patience, 0, at_least(0),
      "stop after this many evaluations without a better eval.metric; 0 = off");
  }
};

struct DataOptions {
  std::vector<std::string> train, valid, test;
  std::string task, tokenizer, field, prompt_field, response_field, label_field, generate;
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

struct ModelOptions {
  int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_width = 0, mlp_width = 0;
  std::string norm, activation, pooling, causal;
  bool tie_embeddings = false;
  std::vector<double> rotary_base;
  double dropout = 0, norm_epsilon = 0;
  template <class V>
  void visit(V& v) {
    v("model.layers", layers, 4, between(1, 10000), "Transformer blocks");
    v("model.width", width, 128, between(1, 1 << 20), "width of the residual stream");
    v("model.heads", heads, 4, between(1, 1 << 16), "query heads");
    v("model.kv_heads", kv_heads, 0, between(0, 1 << 16), "key/value heads; must divide model.heads; 0 = model.heads");
    v("model.head_width", head_width, 0, between(0, 1 << 16), "width of a head, even; 0 = model.width / model.heads");
    v("model.mlp_width", mlp_width, 0, between(0, 1 << 22),
      "inner width of the gated MLP; 0 = 8/3 of model.width, rounded up to 16");
    v("model.norm", norm, "rms", one_of({"rms", "layer"}), "RMSNorm or LayerNorm, before each sub-block");
    v("model.activation", activation, "swiglu", one_of({"swiglu", "geglu"}), "gated MLP: SwiGLU or GeGLU");
    v("model.pooling", pooling, "mean", one_of({"mean", "first", "attention", "statistics"}),
      "classify: how a document's rows become one; statistics = mean and mean square of each channel");
    v("model.causal", causal, "auto", one_of({"auto", "on", "off"}),
      "on: a row sees no later row; auto = on for clm, off for mlm and classify");
    v("model.tie_embeddings", tie_embeddings, true, any(), "output weights are the input embeddings");
    v("model.rotary_base", rotary_base, "10000", positive(),
      "base of the rotary positions, one value or a pattern repeated over layers");
    v("model.dropout", dropout, 0.0, between(0.0, 0.99), "dropout of each sub-block's output");
    v("model.norm_epsilon", norm_epsilon, 1e-5, positive(), "added under the root of every norm");
  }
};

struct SketchOptions {
  std::string location;
  int64_t width = 0, inner_width = 0, convolution = 0, probes = 0, every = 0;
  double floor = 0;
  template <class V>
  void visit(V& v) {
    v("sketch.location", location, "model", one_of({"model", "layer"}),
      "one sketch on the embeddings for all layers, or sketches on layers' inputs");
    v("sketch.every", every, 1, at_least(1), "with location = layer: layers served by one sketch");
    v("sketch.width", width, 16, between(1, 256), "width of sketch queries and keys");
    v("sketch.inner_width", inner_width, 0, between(0, 1 << 16),
      "width before the query and key projections, even; 0 = twice sketch.width");
    v("sketch.convolution", convolution, 4, between(0, 16),
      "taps of the depth-wise convolution along the sequence; 0 = none");
    v("sketch.probes", probes, 16, at_least(0),
      "expected probe blocks per optimizer step, from which the sketch learns; 0 = it does not learn");
    v("sketch.floor", floor, 0.1, between(0.0, 1.0), "share of the inclusion probability that is uniform");
  }
};

struct AttentionOptions {
  std::string draw, share, pick_heads;
  std::vector<std::string> pattern;
  std::vector<int64_t> global_positions;
  int64_t picks = 0, window = 0, query_block = 0, share_warmup_steps = 0, scan_budget_bytes = 0, draw_seed = 0;
  bool correction = false;
  double min_inclusion = 0;
  template <class V>
  void visit(V& v) {
    v("attention.draw", draw, "poisson", one_of({"poisson", "systematic", "topk", "uniform", "none"}),
      "how keys are chosen from the sketch's probabilities");
    v("attention.picks", picks, 32, between(0, int64_t{1} << 31), "expected picks of a query block and head");
    v("attention.window", window, 64, between(0, int64_t{1} << 40),
      "rows on each allowed side of a query block that are always attended");
    v("attention.query_block", query_block, 1, between(1, 4096), "rows that share their picks");
    v("attention.share", share, "64", any(),
      "rows that share random numbers: a multiple of attention.query_block, or all");
    v("attention.share_warmup_steps", share_warmup_steps, 0, at_least(0),
      "first steps with independent numbers for each query block");
    v("attention.draw_seed", draw_seed, 0, at_least(0),
      "seed of the draws in training, to tell their noise from that of weights and order; 0 = run.seed");
    v("attention.pick_heads", pick_heads, "kv", one_of({"kv", "query"}),
      "query heads of one key/value head share picks, or each has its own");
    v("attention.correction", correction, true, any(),
      "subtract log inclusion probability from picked scores (estimates dense attention without bias)");
    v("attention.min_inclusion", min_inclusion, 0.0, between(0.0, 1.0),
      "smallest inclusion probability used in the correction; 0 = no cap");
    v("attention.pattern", pattern, "sparse", each_of({"sparse", "dense", "window"}),
      "kind of each layer's attention, a pattern repeated over layers");
    v("attention.global_positions", global_positions, "", at_least(0),
      "positions of each sequence that every row that may see them attends");
    v("attention.scan_budget_bytes", scan_budget_bytes, 64 << 20, at_least(1),
      "working memory of the scan and the draw; a smaller budget means smaller row chunks, never other picks");
  }
};

struct ExchangeOptions {
  std::string plan, link;
  bool overlap = true;
  template <class V>
  void visit(V& v) {
    v("exchange.plan", plan, "rows", one_of({"rows", "all", "heads", "auto"}),
      "fetch the picked rows of other ranks, or all of them, or compute kv_heads / sequence_ranks heads of all rows (a "
      "head all-to-all), or whichever is predicted to be fastest for the picks of the step; the result is the same");
    v("exchange.link", link, "measure", any(),
      "connection that exchange.plan = auto counts with: LATENCY,RATE as in 50us,10Gbit/s, or measured at the start");
    v("exchange.overlap", overlap, true, any(),
      "rows of other ranks travel beside the work that does not need them; the result is the same");
  }
};

struct ParallelOptions {
  int64_t sequence_ranks = 0;
  std::string layout;
  template <class V>
  void visit(V& v) {
    v("parallel.sequence_ranks", sequence_ranks, 0, at_least(0),
      "ranks that share one stream of tokens; must divide the number of ranks; 0 = all");
    v("parallel.layout", layout, "contiguous", one_of({"contiguous", "zigzag"}),
      "which blocks a rank holds; zigzag balances causal work");
  }
};

struct MemoryOptions {
  std::string recompute, rows, kv_dtype;
  int64_t loss_rows = 0, probe_budget_bytes = 0;
  template <class V>
  void visit(V& v) {
    v("memory.recompute", recompute, "none", one_of({"none", "mlp", "layer"}),
      "keep activations, or compute the inside of each MLP, or each whole layer, again in the backward pass");
    v("memory.rows", rows, "keep", one_of({"keep", "fetch_again"}),
      "keep the fetched rows of other ranks for the backward pass, or fetch them a second time");
    v("memory.kv_dtype", kv_dtype, "same", one_of({"same", "bfloat16"}),
      "type in which keys and values are kept and fetched: that of run.dtype, or bfloat16 (half the bytes; arithmetic "
      "and "
      "gradients stay in run.dtype)");
    v("memory.loss_rows", loss_rows, 1024, at_least(1), "rows of logits held at once");
    v("memory.probe_budget_bytes", probe_budget_bytes, 64 << 20, at_least(1),
      "working memory of the probes' exact attention");
  }
};

struct CheckpointOptions {
  int64_t every = 0, keep_last = 0;
  template <class V>
  void visit(V& v) {
    v("checkpoint.every", every, 500, at_least(0),
      "steps between checkpoints; one is always written at the end; 0 = only then");
    v("checkpoint.keep_last", keep_last, 2, at_least(1), "newest checkpoints kept, and besides them the best one");
  }
};

struct EvalOptions {
  int64_t every = 0, sequences = 0, sequence_tokens = 0;
  std::string draw, metric, at_end;
  template <class V>
  void visit(V& v) {
    v("eval.every", every, 500, at_least(0), "steps between evaluations of data.valid; 0 = never");
    v("eval.at_end", at_end, "on", one_of({"on", "off"}), "evaluate data.test, else data.valid, after the last step");
    v("eval.sequences", sequences, 0, at_least(0), "sequences of an evaluation, no more than there are; 0 = all");
    v("eval.sequence_tokens", sequence_tokens, 0, at_least(0),
      "longest sequence in evaluation; 0 = data.sequence_tokens");
    v("eval.draw", draw, "same", one_of({"same", "dense"}), "attention in evaluation: as trained, or dense");
    v("eval.metric", metric, "loss", one_of({"loss", "accuracy"}),
      "metric of the best checkpoint and of early stopping");
  }
};

struct InitOptions {
  std::string checkpoint;
  double scale = 0;
  template <class V>
  void visit(V& v) {
    v("init.checkpoint", checkpoint, "", any(),
      "checkpoint whose weights a fine-tuning run starts from; it also gives the model's shape");
    v("init.scale", scale, 0.02, positive(),
      "standard deviation of initial weights (outputs of sub-blocks: divided by sqrt(2 layers))");
  }
};

struct Options {
  RunOptions run;
  TrainOptions train;
  DataOptions data;
  ModelOptions model;
  SketchOptions sketch;
  AttentionOptions attention;
  ExchangeOptions exchange;
  ParallelOptions parallel;
  MemoryOptions memory;
  CheckpointOptions checkpoint;
  EvalOptions eval;
  InitOptions init;

  template <class V>
  void visit(V& v) {
    run.visit(v), train.visit(v), data.visit(v), model.visit(v), sketch.visit(v), attention.visit(v), exchange.visit(v),
        parallel.visit(v), memory.visit(v), checkpoint.visit(v), eval.visit(v), init.visit(v);
  }
};

}  // namespace smartbird
