// Sections run, checkpoint, eval and init: where a run lives, when it saves and measures, what it starts from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/declare.h"

namespace smartbird {

struct RunOptions {
  std::string dir, device, dtype, matmul, resume, progress;
  std::vector<std::string> allow_change;
  int64_t seed = 0, threads = 0, log_every = 0, record_picks = 0;
  bool check_comm = false;
  template <class V>
  void visit(V& v) {
    v("run.dir", dir, "runs/smartbird", any(), "folder of this run: metrics, checkpoints, resolved configuration");
    v("run.seed", seed, 1, at_least(0), "seed of weights, order, draws and masks");
    v("run.device", device, "cpu", one_of({"cpu", "cuda"}),
      "what computes: the cores of a rank, or one GPU for each rank of a host (builds with the cuda preset)");
    v("run.dtype", dtype, "float32", one_of({"float32", "float64"}), "element type of weights and activations");
    v("run.matmul", matmul, "float32", one_of({"float32", "bfloat16"}),
      "factors of the model's matrix products: as they are, or rounded to bfloat16 and summed in float32, on CPUs with "
      "AMX and on GPUs, where results of products, attention and rows that travel are bfloat16 too; weights, their "
      "gradients and optimizer stay in run.dtype");
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
  std::string draw, metric, at_end, seen_before;
  template <class V>
  void visit(V& v) {
    v("eval.every", every, 500, at_least(0), "steps between evaluations of data.valid; 0 = never");
    v("eval.at_end", at_end, "on", one_of({"on", "off"}), "evaluate data.test, else data.valid, after the last step");
    v("eval.sequences", sequences, 0, at_least(0), "sequences of an evaluation, no more than there are; 0 = all");
    v("eval.sequence_tokens", sequence_tokens, 0, at_least(0),
      "longest sequence in evaluation; 0 = data.sequence_tokens");
    v("eval.draw", draw, "same", one_of({"same", "dense"}),
      "attention of sparse layers in evaluation: as trained, or dense");
    v("eval.metric", metric, "loss", one_of({"loss", "accuracy"}),
      "metric of the best checkpoint and of early stopping");
    v("eval.seen_before", seen_before, "off", one_of({"off", "word", "token"}),
      "clm: loss and accuracy also by how many tokens back the target's word (text as bytes), or the token before the "
      "target, was last seen");
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

}  // namespace smartbird
