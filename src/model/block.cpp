// A block's forward and its recomputation.
#include "model/block.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/sparse_attention.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;
using Body = std::function<at::Tensor(const at::Tensor&)>;

struct Recompute : Function<Recompute> {
  static Variable forward(AutogradContext* ctx, const Variable& h, const Body* body) {
    ctx->save_for_backward({h});
    ctx->saved_data["body"] = reinterpret_cast<int64_t>(body);
    const at::NoGradGuard no_grad;
    return (*body)(h);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Body& body = *reinterpret_cast<const Body*>(ctx->saved_data["body"].toInt());
    at::Tensor h = ctx->get_saved_variables()[0].detach();
    h.requires_grad_(true);
    at::Tensor out;
    {
      const at::AutoGradMode with_grad(true);
      out = body(h);
    }
    torch::autograd::backward({out}, {grads[0]});
    return {h.grad(), {}};
  }
};

at::Tensor attention(const BlockInput& in, const at::Tensor& x, const std::string& prefix, Probes* probes) {
  const ModelShape& shape = in.shape;
  const int64_t rows = x.size(0), width = shape.head_width;
  const auto project = [&](const char* what, int64_t heads) {
    return at::linear(x, in.parameters.value(prefix + what)).view({rows, heads, width});
  };
  const at::Tensor q = rotate(project("q.weight", shape.heads), in.rotary),
                   k = rotate(project("k.weight", shape.kv_heads), in.rotary);
  const at::Tensor v = project("v.weight", shape.kv_heads);
  if (probes != nullptr) probes->add_layer(in.context, q, k);
  at::Tensor units;
  {
    const auto timing = in.context.timer.measure("exchange");
    units = gather_units(in.context, at::cat({k, v}, -1), in.plan);
  }
  const auto timing = in.context.timer.measure("attention");
  return at::linear(sparse_attention(q, units, in.plan).reshape({rows, shape.heads * width}),
                    in.parameters.value(prefix + "o.weight"));
}

}  // namespace

at::Tensor run_block(const BlockInput& in, const at::Tensor& h, Probes* probes) {
  const std::string prefix = "layers." + std::to_string(in.layer) + ".";
  const double rate = in.shape.dropout;
  const at::Tensor a =
      attention(in, norm(h, in.parameters.value(prefix + "attn_norm.weight"), in.shape), prefix + "attn.", probes);
  const at::Tensor x = h + dropout(in.context, a, in.rows, rate, 2 * in.layer);
  const at::Tensor m = gated_mlp(norm(x, in.parameters.value(prefix + "mlp_norm.weight"), in.shape), in.parameters,
                                 prefix + "mlp.", in.shape);
  return x + dropout(in.context, m, in.rows, rate, 2 * in.layer + 1);
}

at::Tensor recompute(const Body& body, const at::Tensor& h) { return Recompute::apply(h, &body); }

}  // namespace smartbird
