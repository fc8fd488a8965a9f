// Norm, MLP, dropout.
#include "model/layers.h"

#include "ops/tensors.h"

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
                    .output = output});
}

at::Tensor dropout(const StepContext& context, const at::Tensor& h, const RowInfo& rows, double rate, int64_t place) {
  if (rate <= 0 || context.phase == Phase::Evaluate) return h;
  at::Tensor keep = at::empty(h.sizes(), h.options().requires_grad(false));
  const PhiloxKey base = context.key(Purpose::Dropout);
  const int64_t* position = rows.position.const_data_ptr<int64_t>();
  with_float_type(h, [&](auto t) {
    using T = decltype(t);
    T* out = keep.mutable_data_ptr<T>();
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < h.size(0); ++row) {
      PhiloxKey key = base;
      const uint64_t sample = rows.sample[static_cast<size_t>(row)];
      key.high ^= static_cast<uint32_t>(sample >> 32);
      for (int64_t c = 0; c < h.size(1); c += 4) {
        const PhiloxCounter x = philox({static_cast<uint32_t>(sample), static_cast<uint32_t>(position[row]),
                                        static_cast<uint32_t>(place), static_cast<uint32_t>(c / 4)},
                                       key);
        for (int64_t i = 0; i < 4 && c + i < h.size(1); ++i)
          out[row * h.size(1) + c + i] =
              uniform(x[static_cast<size_t>(i)]) < rate ? T{0} : static_cast<T>(1 / (1 - rate));
      }
    }
  });
  return h * keep;
}

}  // namespace smartbird
