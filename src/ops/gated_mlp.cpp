// Forward and backward of the MLP in chunks of rows.
#include "ops/gated_mlp.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/swiglu.h"
#include "ops/device_tensors.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// act = activation(gate) ∘ up; act may be gate.
void activate(Activation kind, const at::Tensor& gate, const at::Tensor& up, at::Tensor act) {
  if (kind == Activation::Gelu) {
    act.copy_(at::gelu(gate).mul_(up));
    return;
  }
  if (on_device(gate)) {
    act.copy_(at::silu(gate).mul_(up));
    return;
  }
  with_float_type(gate, [&](auto t) {
    using T = decltype(t);
    kernels::swiglu<T>(gate.const_data_ptr<T>(), up.const_data_ptr<T>(), gate.numel(), act.mutable_data_ptr<T>());
  });
}

// In place: gate, up become their gradients, dact becomes the activation.
void activate_back(Activation kind, at::Tensor gate, at::Tensor up, at::Tensor dact) {
  if (kind == Activation::Gelu) {
    const at::Tensor outer = at::gelu(gate), act = outer * up, dgate = at::gelu_backward(dact * up, gate);
    up.copy_(outer.mul_(dact)), gate.copy_(dgate), dact.copy_(act);
    return;
  }
  if (on_device(gate)) {
    const at::Tensor outer = at::silu(gate), act = outer * up, dgate = at::silu_backward(dact * up, gate);
    up.copy_(outer.mul_(dact)), gate.copy_(dgate), dact.copy_(act);
    return;
  }
  with_float_type(gate, [&](auto t) {
    using T = decltype(t);
    kernels::swiglu_gradient<T>(gate.mutable_data_ptr<T>(), up.mutable_data_ptr<T>(), dact.mutable_data_ptr<T>(),
                                gate.numel());
  });
}

struct GatedMlp : Function<GatedMlp> {
  static Variable forward(AutogradContext* ctx, const Variable& input, const Variable& norm, const Variable& gate_in,
                          const Variable& up_in, const Variable& down_in, MlpSettings s) {
    const at::Tensor x = input.contiguous(), gate = factor(gate_in, s.factors), up = factor(up_in, s.factors),
                     down = factor(down_in, s.factors);
    const int64_t rows = x.size(0), inner = gate.size(0), most = std::min(rows, s.chunk_rows);
    at::Tensor y = at::empty_like(x), gates, ups;
    if (s.inner == Inner::Keep) gates = at::empty({rows, inner}, gate.options()), ups = at::empty_like(gates);
    if (s.output == Output::Compute) {
      const ChunkBuffer normed(gate, most, x.size(1)), stats(x, most, 2), wide(gate, most, inner),
          second(gate, s.inner == Inner::Keep ? 0 : most, inner);
      for_chunks(rows, s.chunk_rows, [&](int64_t first, int64_t n) {
        const at::Tensor from = x.narrow(0, first, n), small = normed.of(n), act = wide.of(n);
        at::Tensor g = s.inner == Inner::Keep ? gates.narrow(0, first, n) : act,
                   u = s.inner == Inner::Keep ? ups.narrow(0, first, n) : second.of(n), to = y.narrow(0, first, n);
        normalize_into(from, norm, s.norm, small, stats.of(n));
        at::mm_out(g, small, gate.t());
        at::mm_out(u, small, up.t());
        activate(s.activation, g, u, act);
        product_into(to, s.residual == Residual::Add ? from : at::Tensor(), act, down.t());
      });
    }
    ctx->save_for_backward({x, norm, gate_in, up_in, down_in, gates, ups});
    ctx->saved_data["kind"] = static_cast<int64_t>(s.norm.kind);
    ctx->saved_data["epsilon"] = s.norm.epsilon;
    ctx->saved_data["activation"] = static_cast<int64_t>(s.activation);
    ctx->saved_data["residual"] = static_cast<int64_t>(s.residual);
    ctx->saved_data["chunk_rows"] = s.chunk_rows;
    ctx->saved_data["factors"] = static_cast<int64_t>(s.factors);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto factors = static_cast<Factors>(ctx->saved_data["factors"].toInt());
    const at::Tensor &x = saved[0], &norm = saved[1];
    const at::Tensor gate = factor(saved[2], factors), up = factor(saved[3], factors), down = factor(saved[4], factors);
    const NormSettings settings{static_cast<kernels::NormKind>(ctx->saved_data["kind"].toInt()),
                                ctx->saved_data["epsilon"].toDouble()};
    const auto activation = static_cast<Activation>(ctx->saved_data["activation"].toInt());
    const bool residual = static_cast<Residual>(ctx->saved_data["residual"].toInt()) == Residual::Add;
    const int64_t chunk_rows = ctx->saved_data["chunk_rows"].toInt(), rows = x.size(0), inner = gate.size(0),
                  most = std::min(rows, chunk_rows);
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor dx = at::empty_like(x), dnorm = at::zeros_like(norm), dgate = at::zeros_like(saved[2]),
               dup = at::zeros_like(saved[3]), ddown = at::zeros_like(saved[4]);
    const ChunkBuffer normed(gate, most, x.size(1)), dnormed(x, most, x.size(1)), stats(x, most, 2),
        gates(gate, most, inner), ups(gate, most, inner), acts(gate, most, inner);
    for_chunks(rows, chunk_rows, [&](int64_t first, int64_t n) {
      const at::Tensor from = x.narrow(0, first, n), dy = grad.narrow(0, first, n), dy_factor = factor(dy, factors);
      at::Tensor small = normed.of(n), dsmall = dnormed.of(n), g = gates.of(n), u = ups.of(n), act = acts.of(n);
      normalize_into(from, norm, settings, small, stats.of(n));
      if (saved[5].defined()) {
        g.copy_(saved[5].narrow(0, first, n)), u.copy_(saved[6].narrow(0, first, n));
      } else {
        at::mm_out(g, small, gate.t());
        at::mm_out(u, small, up.t());
      }
      at::mm_out(act, dy_factor, down);
      activate_back(activation, g, u, act);
      add_product(ddown, dy_factor.t(), act);
      add_product(dgate, g.t(), small);
      add_product(dup, u.t(), small);
      product_into(dsmall, {}, g, gate);
      add_product(dsmall, u, up);
      normalize_back(from, norm, stats.of(n), settings, dsmall, residual ? dy : at::Tensor(), dx.narrow(0, first, n),
                     dnorm);
    });
    return {dx, dnorm, dgate, dup, ddown, {}};
  }
};

}  // namespace

at::Tensor gated_mlp(const at::Tensor& x, const MlpWeights& w, const MlpSettings& settings) {
  SB_CHECK(x.dim() == 2 && w.norm.dim() == 1 && w.norm.size(0) == x.size(1) && w.gate.dim() == 2 &&
               w.gate.size(1) == x.size(1) && w.up.sizes() == w.gate.sizes() &&
               w.down.sizes() == at::IntArrayRef({w.gate.size(1), w.gate.size(0)}),
           Shape, "gated_mlp: x ", x.sizes(), ", norm ", w.norm.sizes(), ", gate ", w.gate.sizes(), ", up ",
           w.up.sizes(), ", down ", w.down.sizes(), ", expected [T, C], [C], [F, C], [F, C], [C, F]");
  SB_CHECK(settings.inner == Inner::Recompute || settings.output == Output::Compute, Shape,
           "gated_mlp: nothing is computed that could be kept");
  return GatedMlp::apply(x, w.norm, w.gate, w.up, w.down, settings);
}

}  // namespace smartbird
