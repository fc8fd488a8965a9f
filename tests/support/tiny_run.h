// A tiny model on made-up tokens, run by P ranks as threads: forward, both backward passes, gradients summed over ranks.
// What the laws of the model compare.
#pragma once

#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <mutex>

#include "comm/thread_comm.h"
#include "model/transformer.h"
#include "ops/collectives.h"
#include "ops/tensors.h"

namespace smartbird::testing {

struct TinyRun {
  ModelShape shape;
  std::vector<int64_t> lengths{37, 5, 50, 1, 23};
  int query_block = 1;
  LayoutKind layout = LayoutKind::Contiguous;
  Task task = Task::Clm;
  at::ScalarType dtype = at::kDouble;
  uint64_t seed = 3;
  int64_t step = 1;
  Link link{1e-4, 1e6};
  double probe_rate = 0.2;
  int64_t count_before = -1;  // targets of positions from here on do not count; -1 = all count
  int64_t only_sample = -1;   // targets and labels of other samples do not count; -1 = all count
  bool dense = false, body_frozen = false, independent = false;  // as in ForwardOptions
  std::function<int64_t(int64_t sample, int64_t position)> token = [](int64_t sample, int64_t position) {
    return static_cast<int64_t>(
        philox({static_cast<uint32_t>(sample), static_cast<uint32_t>(position), 7, 7}, {1, 2})[0] % 23);
  };
  std::function<void(Parameters&)> change_weights = [](Parameters&) {};
};

struct TinyResult {
  double loss = 0, sketch_loss = 0;
  uint64_t picks_hash = 0;
  int64_t fetched_rows = 0;
  ProbeMass mass;
  at::Tensor task_grad, sketch_grad;  // [n] summed over ranks
  int64_t sketch_begin = 0;
};

inline ModelShape tiny_shape() {
  ModelShape s;
  s.layers = 2, s.width = 16, s.heads = 4, s.kv_heads = 2, s.head_width = 4, s.mlp_width = 24, s.vocabulary = 23;
  s.init_scale = 0.3;
  s.rotary_base = {10000, 10000}, s.pattern = {Pattern::Sparse, Pattern::Sparse};
  s.sketch_width = 4, s.sketch_inner = 6, s.sketch_taps = 4;
  s.attention.window = 2, s.attention.picks = 4, s.attention.share_rows = 8;
  s.attention.heads = 4, s.attention.kv_heads = 2, s.attention.pick_heads = 2;
  s.loss_rows = 7;
  return s;
}

inline Layout tiny_layout(const TinyRun& run, int ranks) {
  std::vector<Sequence> sequences;
  int64_t begin = 0;
  for (size_t i = 0; i < run.lengths.size(); ++i) {
    sequences.push_back({100 + i, begin, run.lengths[i]});
    begin += run.lengths[i];
  }
  return Layout(sequences, run.query_block, ranks, run.layout);
}

inline Stream tiny_stream(const TinyRun& run, const Layout& layout, int rank) {
  Stream out;
  for (int64_t token : layout.tokens_of(rank)) {
    const int64_t index = layout.sequence_of(token);
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(index)];
    const int64_t position = token - sequence.begin, sample = static_cast<int64_t>(sequence.sample);
    out.token.push_back(run.token(sample, position));
    const bool counts = position + 1 < sequence.length && (run.count_before < 0 || position < run.count_before) &&
                        (run.only_sample < 0 || sample == run.only_sample);
    out.target.push_back(counts ? run.token(sample, position + 1) : -1);
    out.position.push_back(position);
    out.sequence.push_back(index);
    out.counted += out.target.back() >= 0 ? 1 : 0;
  }
  for (int64_t i = 0; i < static_cast<int64_t>(run.lengths.size()); ++i)
    out.label.push_back(run.only_sample < 0 || run.only_sample == 100 + i ? i % 3 : -1);
  return out;
}

// What one rank of a tiny run holds; the world's groups are the rank's own.
struct TinyRank {
  TinyRank(const TinyRun& run, Communicator& group)
      : run(run),
        world(group.split(0, group.rank()), 0),
        layout(tiny_layout(run, group.size())),
        model(run.shape, run.dtype, run.seed),
        context{world, layout, timer, run.seed, run.step, Phase::Train, run.link},
        stream(tiny_stream(run, layout, group.rank())) {
    run.change_weights(model.parameters());
  }
  [[nodiscard]] Forward forward(double probe_rate) const {
    return model.forward(context, stream,
                         {.task = run.task,
                          .probe_rate = probe_rate,
                          .dense = run.dense,
                          .body_frozen = run.body_frozen,
                          .independent = run.independent});
  }
  const TinyRun& run;
  World world;
  Layout layout;
  Transformer model;
  StageTimer timer;
  StepContext context;
  Stream stream;
};

inline TinyResult run_tiny(const TinyRun& run, int ranks) {
  TinyResult result;
  std::vector<double> losses(static_cast<size_t>(ranks), 0.0);  // summed in rank order: equal parts give equal bits
  std::mutex lock;
  run_thread_ranks(ranks, [&](Communicator& group) {
    TinyRank rank(run, group);
    Parameters& parameters = rank.model.parameters();
    const Forward forward = rank.forward(run.probe_rate);
    torch::autograd::backward({forward.task_loss}, {});
    at::Tensor task_grad = parameters.flat_grad().clone();
    parameters.zero_grad();
    if (forward.sketch_loss.defined()) torch::autograd::backward({forward.sketch_loss}, {});
    at::Tensor sketch_grad = parameters.flat_grad().clone();
    all_reduce_(rank.world.everyone(), "test", task_grad, ReduceOp::Sum);
    all_reduce_(rank.world.everyone(), "test", sketch_grad, ReduceOp::Sum);
    const std::lock_guard guard(lock);
    losses[static_cast<size_t>(group.rank())] = forward.task_loss.item<double>();
    if (forward.sketch_loss.defined()) result.sketch_loss += forward.sketch_loss.item<double>();
    result.picks_hash += forward.stats.picks_hash;
    result.fetched_rows += forward.stats.fetched_rows;
    result.mass.add(forward.probe_mass);
    if (group.rank() == 0)
      result.task_grad = task_grad, result.sketch_grad = sketch_grad, result.sketch_begin = parameters.sketch_begin();
  });
  for (double loss : losses) result.loss += loss;
  return result;
}

}  // namespace smartbird::testing
