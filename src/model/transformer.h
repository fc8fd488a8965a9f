// The model: embeddings, pre-norm blocks with sampled sparse attention, final norm, task head. One forward pass of one
// packed stream; the shapes of Llama (causal) and ModernBERT (bidirectional). Parameter names:
//   embed.weight [V, C]; layers.N.{attn_norm, mlp_norm}.weight [C]; layers.N.attn.{q [HD, C], k, v [GD, C], o [C, HD]}.weight;
//   layers.N.mlp.{gate, up [F, C], down [C, F]}.weight; final_norm.weight [C]; lm_head.weight [V, C] unless tied;
//   classifier.{weight [classes, C], bias [classes], mean [C], whitening [C, C]} (C: pooled_width); pooling.weight [C]; sketch.N.*
#pragma once

#include <functional>
#include <memory>

#include "data/stream.h"
#include "model/attention_observer.h"
#include "model/layers.h"
#include "model/probe.h"

namespace smartbird {

struct ForwardOptions {
  Task task = Task::Clm;
  double probe_rate = 0;     // probability of a block to be a probe; < 0 = no probes at all (no collective)
  bool dense = false;        // sparse layers are dense, no sketch runs (eval.draw = dense)
  bool body_frozen = false;  // the task loss stops at the label head
  int64_t picks = -1;        // in place of attention.picks (attention.warmup_picks); -1 = those
  bool all_keys = false;     // sparse layers are dense, and their sketches learn from them (attention.warmup_picks = 0)
  bool independent = false;  // every query block has its own random numbers (attention.share_warmup_steps)
  AttentionObserver* observer = nullptr;
};

// What a forward pass leaves. The graphs refer to plans and replays, so it must live until both backward passes are done.
struct Forward {
  at::Tensor task_loss;  // scalar: my sum
  int64_t correct = 0, counted = 0;
  at::Tensor row_loss, row_correct;  // without gradients: of my rows, as in LossSum
  at::Tensor pooled;                 // classify: [my sequences, pooled_width], what the classifier reads
  at::Tensor sketch_loss;            // scalar: my sum; undefined without probes
  ProbeMass probe_mass;
  PlanStats stats;  // sums over my plans
  std::vector<std::unique_ptr<Plan>> plans;
  std::vector<std::unique_ptr<std::function<at::Tensor(const at::Tensor&)>>> replays;
};

class Transformer {
 public:
  // options: element type of the weights, and the device they lie on.
  Transformer(ModelShape shape, const at::TensorOptions& options, uint64_t seed);

  [[nodiscard]] Parameters& parameters() { return parameters_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] const ModelShape& shape() const { return shape_; }
  [[nodiscard]] Forward forward(const StepContext& context, const Stream& stream, const ForwardOptions& options) const;

 private:
  void declare();
  ModelShape shape_;
  Parameters parameters_;
};

}  // namespace smartbird
