// Norms, rotary positions, MLP, dropout.
#include "model/layers.h"

#include <cmath>

#include "ops/tensors.h"

namespace smartbird {

RotaryTable rotary_table(const at::Tensor& position, int64_t width, double base, at::ScalarType dtype) {
  const at::Tensor pair = at::arange(0, width / 2, at::kDouble);
  const at::Tensor frequency = at::pow(base, pair * (-2.0 / static_cast<double>(width)));
  const at::Tensor angle = (position.to(at::kDouble).unsqueeze(1) * frequency).unsqueeze(1);
  return {angle.cos().to(dtype), angle.sin().to(dtype)};
}

at::Tensor rotate(const at::Tensor& x, const RotaryTable& table) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor a = x.narrow(-1, 0, half), b = x.narrow(-1, half, half);
  return at::cat({a * table.cos - b * table.sin, b * table.cos + a * table.sin}, -1);
}

at::Tensor norm(const at::Tensor& h, const at::Tensor& weight, const ModelShape& shape) {
  if (shape.layer_norm) return at::layer_norm(h, {h.size(-1)}, weight, {}, shape.norm_epsilon);
  return at::rms_norm(h, {h.size(-1)}, weight, shape.norm_epsilon);
}

at::Tensor gated_mlp(const at::Tensor& h, const Parameters& parameters, const std::string& prefix,
                     const ModelShape& shape) {
  const at::Tensor gate = at::linear(h, parameters.value(prefix + "gate.weight")),
                   up = at::linear(h, parameters.value(prefix + "up.weight"));
  return at::linear((shape.geglu ? at::gelu(gate) : at::silu(gate)) * up, parameters.value(prefix + "down.weight"));
}

at::Tensor dropout(const StepContext& context, const at::Tensor& h, const RowInfo& rows, double rate, int64_t place) {
  if (rate <= 0 || context.phase == Phase::Evaluate) return h;
  at::Tensor keep = at::empty(h.sizes(), h.options().requires_grad(false));
  const PhiloxKey base = context.key(Purpose::Dropout);
  const int64_t* position = rows.position.const_data_ptr<int64_t>();
  with_float_type(h, [&](auto t) {
    using T = decltype(t);
    T* out = keep.mutable_data_ptr<T>();
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
