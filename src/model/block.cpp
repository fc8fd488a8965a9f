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

// h + attention of norm(h).
at::Tensor attention_half(const BlockInput& in, const at::Tensor& h, const std::string& prefix, Probes* probes) {
  const ModelShape& shape = in.shape;
  const auto weight = [&](const char* what) -> const at::Tensor& { return in.parameters.value(prefix + what); };
  const KvStorage storage{shape.fetch_again ? FetchedRows::FetchAgain : FetchedRows::Keep, shape.bfloat16_kv};
  const auto travel = c10::make_intrusive<KvTravel>(in.context.tensors(), in.plan, storage);
  AttentionOperands of;
  {
    const auto timing = in.context.timer.measure("projection");
    of = attention_input(h,
                         {.norm = weight("attn_norm.weight"),
                          .q = weight("attn.q.weight"),
                          .k = weight("attn.k.weight"),
                          .v = weight("attn.v.weight")},
                         in.rotary, shape.head_width, norm_settings(shape), travel, kChunkRows, shape.factors);
  }
  if (in.observer != nullptr) in.observer->attended(in.context, in.layer, of.q, of.kv);
  const at::Tensor o = attend(in.context, of.q, of.kv, travel).view({h.size(0), shape.heads * shape.head_width});
  // After the rows have arrived: the small messages of probes would queue behind them.
  if (probes != nullptr) probes->add_layer(in.context, of.q, of.kv.narrow(2, 0, shape.head_width));
  const auto timing = in.context.timer.measure("projection");
  const at::Tensor w = factor(weight("attn.o.weight"), shape.factors);
  if (shape.dropout == 0 && shape.factors == Factors::AsGiven) return at::addmm(h, o, w.t());
  return h + dropout(in.context, at::linear(o, w).to(h.scalar_type()), in.rows, shape.dropout, 2 * in.layer);
}

}  // namespace

at::Tensor run_block(const BlockInput& in, const at::Tensor& h, Probes* probes) {
  const std::string prefix = "layers." + std::to_string(in.layer) + ".";
  const at::Tensor x = attention_half(in, h, prefix, probes);
  const auto timing = in.context.timer.measure("mlp");
  const double rate = in.shape.dropout;
  if (rate == 0) return layer_mlp(x, in.parameters, prefix, in.shape, Residual::Add, in.output);
  const at::Tensor m = layer_mlp(x, in.parameters, prefix, in.shape, Residual::None, in.output);
  return x + dropout(in.context, m, in.rows, rate, 2 * in.layer + 1);
}

at::Tensor recompute(const Body& body, const at::Tensor& h) { return Recompute::apply(h, &body); }

}  // namespace smartbird
