// Task heads on the final rows h [T, C]: token targets (clm, mlm) or one label a sequence (classify).
#pragma once

#include "data/stream.h"
#include "model/parameters.h"
#include "model/shape.h"
#include "ops/chunked_loss.h"
#include "ops/step_context.h"

namespace smartbird {

// Width of a pooled row: C, with statistics pooling 2C (mean and mean square of each channel; after the statistics
// pooling of x-vectors, Snyder et al., 2018).
[[nodiscard]] int64_t pooled_width(const ModelShape& shape);
// Parameters of the label head: classifier and attention pooling.
void declare_label_head(Parameters& parameters, const ModelShape& shape);
void reset_whitening(Parameters& parameters);  // to the identity; after Parameters::finish
[[nodiscard]] bool is_label_head(const std::string& name);

[[nodiscard]] LossSum token_head(const Parameters& parameters, const ModelShape& shape, const at::Tensor& h,
                                 const Stream& stream);

// Pools every sequence over its rows on all ranks (mean, first row, or attention with one learned query) and leaves each
// sequence on one rank, which scores it. Collective.
// Its score of a pooled row x is classifier.weight · (classifier.whitening · (x - classifier.mean)) + classifier.bias; mean
// and whitening do not learn (train/whiten.h).
struct LabelScores {
  LossSum loss;
  at::Tensor pooled;  // [my sequences, pooled_width], detached
};
[[nodiscard]] LabelScores label_head(const StepContext& context, const Parameters& parameters, const ModelShape& shape,
                                     const at::Tensor& h, const Stream& stream);

}  // namespace smartbird
