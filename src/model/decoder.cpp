// Decoding with cached keys and values.
#include "model/decoder.h"

#include <cmath>

#include "core/error.h"
#include "ops/tensors.h"

namespace smartbird {

Decoder::Decoder(const Transformer& model) : model_(model) {
  const ModelShape& shape = model.shape();
  SB_CHECK(shape.attention.visibility.causal, Config,
           "generate: the checkpoint's model is bidirectional; only a causal model can generate");
  keys_.resize(static_cast<size_t>(shape.layers));
  values_ = keys_;
}

at::Tensor Decoder::attend(int64_t layer, const at::Tensor& q) {
  const ModelShape& shape = model_.shape();
  const bool window =
      shape.pattern[static_cast<size_t>(layer)] == Pattern::Window ||
      (shape.pattern[static_cast<size_t>(layer)] == Pattern::Sparse && shape.attention.draw == kernels::DrawMode::None);
  const int64_t begin = window ? std::max<int64_t>(0, length_ - 1 - shape.attention.window) : 0,
                count = length_ - begin;
  const int64_t g = shape.kv_heads, per = shape.heads / g, d = shape.head_width;
  const at::Tensor k = keys_[static_cast<size_t>(layer)].narrow(0, begin, count),
                   v = values_[static_cast<size_t>(layer)].narrow(0, begin, count);
  const at::Tensor scores = at::matmul(q.view({g, per, d}), k.permute({1, 2, 0})) / std::sqrt(static_cast<double>(d));
  return at::matmul(at::softmax(scores, -1), v.transpose(0, 1)).reshape({1, shape.heads * d});
}

at::Tensor Decoder::next(int64_t token) {
  const at::NoGradGuard no_grad;
  const ModelShape& shape = model_.shape();
  const Parameters& p = model_.parameters();
  at::Tensor h = at::embedding(p.value("embed.weight"), at::full({1}, token, at::kLong));
  const at::Tensor position = at::full({1}, length_, at::kLong);
  ++length_;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    const RotaryTable table =
        rotary_table(position, shape.head_width, shape.rotary_base[static_cast<size_t>(layer)], h.scalar_type());
    const at::Tensor x = norm(h, p.value(prefix + "attn_norm.weight"), shape);
    const auto project = [&](const char* what, int64_t heads) {
      return at::linear(x, p.value(prefix + "attn." + what)).view({1, heads, shape.head_width});
    };
    at::Tensor &keys = keys_[static_cast<size_t>(layer)], &values = values_[static_cast<size_t>(layer)];
    if (!keys.defined() || keys.size(0) < length_) {  // grow by doubling
      const at::Tensor room =
          at::zeros({std::max<int64_t>(256, length_), shape.kv_heads, shape.head_width}, h.options());
      keys = keys.defined() ? at::cat({keys, room}, 0) : room;
      values = values.defined() ? at::cat({values, at::zeros_like(room)}, 0) : at::zeros_like(room);
    }
    keys.narrow(0, length_ - 1, 1).copy_(rotate(project("k.weight", shape.kv_heads), table));
    values.narrow(0, length_ - 1, 1).copy_(project("v.weight", shape.kv_heads));
    h = h +
        at::linear(attend(layer, rotate(project("q.weight", shape.heads), table)), p.value(prefix + "attn.o.weight"));
    h = layer_mlp(h, p, prefix, shape, Residual::Add);
  }
  h = norm(h, p.value("final_norm.weight"), shape);
  return at::mv(p.value(shape.tie_embeddings ? "embed.weight" : "lm_head.weight"), h.squeeze(0));
}

}  // namespace smartbird
