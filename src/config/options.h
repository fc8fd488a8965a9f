// Every option of smartbird, declared once, by section: name, default, range or choices, one sentence of help. The
// declaration (visit) drives the command line, the INI reader, the range checks, --help, `smartbird options --markdown` and
// the resolved dump. Units are in the names; 0 means what the help says.
#pragma once

#include "config/model_options.h"
#include "config/parallel_options.h"
#include "config/run_options.h"
#include "config/train_options.h"

namespace smartbird {

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
