// Norm, MLP, dropout.
#include "model/layers.h"

#include "ops/dropout.h"

namespace smartbird {

NormSettings norm_settings(const ModelShape& shape) {
  return {shape.layer_norm ? kernels::NormKind::Layer : kernels::NormKind::Rms, shape.norm_epsilon};
}

at::Tensor norm(const at::Tensor& h, const at::Tensor& weight, const ModelShape& shape) {
  return row_norm(h, weight, norm_settings(shape));
}

at::Tensor layer_mlp(const at::Tensor& x, const Parameters& parameters, const std::string& layer,
                     const ModelShape& shape, Residual residual, Output output) {
  const bool keep = shape.keep_mlp && at::GradMode::is_enabled() && output == Output::Compute;
  return gated_mlp(x,
                   {.norm = parameters.value(layer + "mlp_norm.weight"),
                    .gate = parameters.value(layer + "mlp.gate.weight"),
                    .up = parameters.value(layer + "mlp.up.weight"),
                    .down = parameters.value(layer + "mlp.down.weight")},
                   {.norm = norm_settings(shape),
                    .activation = shape.geglu ? Activation::Gelu : Activation::Silu,
                    .inner = keep ? Inner::Keep : Inner::Recompute,
                    .residual = residual,
                    .output = output,
                    .factors = shape.factors});
}

QueriesAndKeys layer_queries_and_keys(const at::Tensor& h, const Parameters& parameters, int64_t layer,
                                      const ModelShape& shape, const at::Tensor& position) {
  const at::NoGradGuard no_grad;
  const std::string prefix = "layers." + std::to_string(layer) + ".";
  const RotaryTable table =
      rotary_table(position, shape.head_width, shape.rotary_base[static_cast<size_t>(layer)], h.scalar_type());
  const at::Tensor x = norm(h, parameters.value(prefix + "attn_norm.weight"), shape);
  const auto turned = [&](const char* what, int64_t heads) {
    return rotate(at::linear(x, parameters.value(prefix + what)).view({x.size(0), heads, shape.head_width}), table);
  };
  return {turned("attn.q.weight", shape.heads), turned("attn.k.weight", shape.kv_heads)};
}

at::Tensor dropout(const StepContext& context, const at::Tensor& h, const RowInfo& rows, double rate, int64_t place) {
  if (rate <= 0 || context.phase == Phase::Evaluate) return h;
  return drop_out(h, rows.sample, rows.position,
                  {.rate = rate, .key = context.key(Purpose::Dropout), .place = static_cast<uint32_t>(place)});
}

}  // namespace smartbird
