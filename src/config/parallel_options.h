// Sections parallel, exchange and memory: how ranks share the work, what travels and what is kept.
#pragma once

#include <cstdint>
#include <string>

#include "config/declare.h"

namespace smartbird {

struct ParallelOptions {
  int64_t sequence_ranks = 0;
  std::string layout, transport;
  double nccl_timeout_s = 0;
  template <class V>
  void visit(V& v) {
    v("parallel.sequence_ranks", sequence_ranks, 0, at_least(0),
      "ranks that share one stream of tokens; must divide the number of ranks; 0 = all");
    v("parallel.layout", layout, "contiguous", one_of({"contiguous", "zigzag"}),
      "which blocks a rank holds; zigzag balances causal work");
    v("parallel.transport", transport, "auto", one_of({"auto", "mpi", "nccl"}),
      "what carries tensors between ranks: MPI through host memory (so that ranks can share a GPU), or NCCL between "
      "GPUs; "
      "auto = nccl with run.device = cuda, else mpi");
    v("parallel.nccl_timeout_s", nccl_timeout_s, 600.0, at_least(1.0),
      "a start of NCCL, or an exchange over it, that takes longer ends the run (waits in MPI have no deadline)");
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

}  // namespace smartbird
