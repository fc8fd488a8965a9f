// Token and label heads.
#include "model/heads.h"

#include "ops/collectives.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

// Weighted sums of rows by sequence: [S, C + 1], the last column the sum of weights.
at::Tensor sums_by_sequence(const at::Tensor& h, const at::Tensor& weight, const at::Tensor& sequence,
                            int64_t sequences) {
  const at::Tensor rows = at::cat({h * weight.unsqueeze(1), weight.unsqueeze(1)}, 1);
  return at::zeros({sequences, h.size(1) + 1}, h.options().requires_grad(false)).index_add(0, sequence, rows);
}

at::Tensor pooling_weights(const StepContext& context, const Parameters& parameters, const ModelShape& shape,
                           const at::Tensor& h, const Stream& stream, const at::Tensor& sequence) {
  if (shape.pooling == Pooling::Mean || shape.pooling == Pooling::Statistics)
    return at::ones({h.size(0)}, h.options().requires_grad(false));
  if (shape.pooling == Pooling::First) return (index_tensor(stream.position, h.device()) == 0).to(h.scalar_type());
  const at::Tensor score = at::mv(h, parameters.value("pooling.weight"));
  at::Tensor largest =
      at::full({static_cast<int64_t>(context.layout.sequences().size())}, -1e30, h.options().requires_grad(false));
  largest.scatter_reduce_(0, sequence, score.detach(), "amax");
  all_reduce_(context.tensors(), "pooling", largest, ReduceOp::Max);
  return (score - largest.index_select(0, sequence)).exp();
}

}  // namespace

int64_t pooled_width(const ModelShape& shape) {
  return shape.pooling == Pooling::Statistics ? 2 * shape.width : shape.width;
}

void declare_label_head(Parameters& parameters, const ModelShape& shape) {
  parameters.add("classifier.weight", {shape.classes, pooled_width(shape)}, shape.init_scale, 0, true, false);
  parameters.add("classifier.bias", {shape.classes}, 0, 0, false, false);
  parameters.add("classifier.mean", {pooled_width(shape)}, 0, 0, false, false);
  parameters.add("classifier.whitening", {pooled_width(shape), pooled_width(shape)}, 0, 0, false, false);
  if (shape.pooling == Pooling::Attention)
    parameters.add("pooling.weight", {shape.width}, shape.init_scale, 0, false, false);
}

void reset_whitening(Parameters& parameters) {
  const at::NoGradGuard no_grad;
  at::Tensor whitening = parameters.value("classifier.whitening");
  whitening.copy_(at::eye(whitening.size(0), whitening.options().requires_grad(false)));
}

bool is_label_head(const std::string& name) { return name.starts_with("classifier.") || name.starts_with("pooling."); }

LossSum token_head(const Parameters& parameters, const ModelShape& shape, const at::Tensor& h, const Stream& stream) {
  const at::Tensor& w = parameters.value(shape.tie_embeddings ? "embed.weight" : "lm_head.weight");
  return chunked_loss(h, w, index_tensor(stream.target), shape.loss_rows, shape.factors);
}

LabelScores label_head(const StepContext& context, const Parameters& parameters, const ModelShape& shape,
                       const at::Tensor& h, const Stream& stream) {
  const int64_t sequences = static_cast<int64_t>(context.layout.sequences().size()), ranks = context.group().size();
  const at::Tensor sequence = index_tensor(stream.sequence, h.device());
  const at::Tensor rows = shape.pooling == Pooling::Statistics ? at::cat({h, h.square()}, 1) : h;
  const at::Tensor sums =
      sums_by_sequence(rows, pooling_weights(context, parameters, shape, h, stream, sequence), sequence, sequences);
  std::vector<int64_t> share;
  for (int64_t r = 0; r < ranks; ++r) share.push_back((r + 1) * sequences / ranks - r * sequences / ranks);
  const at::Tensor mine = reduce_scatter_rows(context.tensors(), "pooling", sums, share);
  const at::Tensor pooled = mine.narrow(1, 0, rows.size(1)) / mine.narrow(1, rows.size(1), 1);
  const int64_t first = context.rank() * sequences / ranks;
  const at::Tensor label = index_tensor(stream.label).narrow(0, first, mine.size(0));
  const at::Tensor white = at::linear(pooled - parameters.value("classifier.mean").detach(),
                                      parameters.value("classifier.whitening").detach());
  const at::Tensor ones = at::ones({mine.size(0), 1}, mine.options().requires_grad(false));
  const at::Tensor weight =
      at::cat({parameters.value("classifier.weight"), parameters.value("classifier.bias").unsqueeze(1)}, 1);
  return {chunked_loss(at::cat({white, ones}, 1), weight, label, shape.loss_rows), pooled.detach()};
}

}  // namespace smartbird
