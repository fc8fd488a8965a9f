// One Transformer block: norm, attention under a plan, norm, MLP; and its recomputation in the backward pass.
#pragma once

#include <functional>

#include "model/attention_observer.h"
#include "model/layers.h"
#include "model/probe.h"

namespace smartbird {

struct BlockInput {
  const StepContext& context;
  const Parameters& parameters;
  const ModelShape& shape;
  const RowInfo& rows;
  const RotaryTable& rotary;
  const Plan& plan;
  int64_t layer = 0;
  Output output = Output::Compute;  // Skip: a replay, of which only the gradient is wanted
  AttentionObserver* observer = nullptr;
};

// h [T, C] -> [T, C]. Collective. probes: nullptr, or who watches this layer.
[[nodiscard]] at::Tensor run_block(const BlockInput& input, const at::Tensor& h, Probes* probes);

// body(h) without keeping its activations: the backward pass runs it again. `body` must outlive the graph and must do the
// same collectives every time; parameters inside it receive their gradients by accumulation.
[[nodiscard]] at::Tensor recompute(const std::function<at::Tensor(const at::Tensor&)>& body, const at::Tensor& h);

}  // namespace smartbird
