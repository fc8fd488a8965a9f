// Forward and backward of norm, projections and rotary positions.
#include "ops/attention_input.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/rotary.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Rows and heads of x [n, heads · step], the first `width` elements of each head.
template <class T, class Tensor>
kernels::HeadView<T> heads_of(Tensor& x, int64_t heads) {
  const int64_t row = x.size(0) == 0 ? 0 : row_elements(x);
  return {const_cast<T*>(x.template const_data_ptr<std::remove_const_t<T>>()), row, row / heads};
}

void turn(const at::Tensor& from, const at::Tensor& to, const at::Tensor& cosine, const at::Tensor& sine, int direction,
          int64_t heads) {
  with_float_type(from, [&](auto t) {
    using T = decltype(t);
    kernels::rotate_heads<T>(heads_of<const T>(from, heads), cosine.const_data_ptr<T>(), sine.const_data_ptr<T>(),
                             direction, from.size(0), heads, 2 * cosine.size(1), heads_of<T>(to, heads));
  });
}

struct AttentionInput : Function<AttentionInput> {
  static variable_list forward(AutogradContext* ctx, const Variable& input, const Variable& norm, const Variable& wq,
                               const Variable& wk, const Variable& wv, const Variable& cosine, const Variable& sine,
                               NormSettings settings, int64_t chunk_rows) {
    const at::Tensor x = input.contiguous();
    const int64_t rows = x.size(0), width = 2 * cosine.size(1), heads = wq.size(0) / width,
                  kv_heads = wk.size(0) / width, most = std::min(rows, chunk_rows);
    at::Tensor q = at::empty({rows, heads, width}, x.options()),
               kv = at::empty({rows, kv_heads, 2 * width}, x.options());
    const ChunkBuffer normed(x, most, x.size(1)), stats(x, most, 2), narrow(x, most, kv_heads * width);
    for_chunks(rows, chunk_rows, [&](int64_t first, int64_t n) {
      at::Tensor small = normed.of(n), part = narrow.of(n), queries = q.narrow(0, first, n).view({n, heads * width}),
                 units = kv.narrow(0, first, n);
      const at::Tensor c = cosine.narrow(0, first, n), s = sine.narrow(0, first, n);
      normalize_into(x.narrow(0, first, n), norm, settings, small, stats.of(n));
      at::mm_out(queries, small, wq.t());
      turn(queries, queries, c, s, 1, heads);
      at::mm_out(part, small, wk.t());
      turn(part, units, c, s, 1, kv_heads);
      at::mm_out(part, small, wv.t());
      units.narrow(2, width, width).copy_(part.view({n, kv_heads, width}));
    });
    ctx->save_for_backward({x, norm, wq, wk, wv, cosine, sine});
    ctx->saved_data["kind"] = static_cast<int64_t>(settings.kind);
    ctx->saved_data["epsilon"] = settings.epsilon;
    ctx->saved_data["chunk_rows"] = chunk_rows;
    return {q, kv};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &norm = saved[1], &wq = saved[2], &wk = saved[3], &wv = saved[4];
    const NormSettings settings{static_cast<kernels::NormKind>(ctx->saved_data["kind"].toInt()),
                                ctx->saved_data["epsilon"].toDouble()};
    const int64_t chunk_rows = ctx->saved_data["chunk_rows"].toInt(), rows = x.size(0),
                  most = std::min(rows, chunk_rows), width = 2 * saved[5].size(1), heads = wq.size(0) / width,
                  kv_heads = wk.size(0) / width;
    const at::Tensor grad_q = grads[0].contiguous(), grad_kv = grads[1].contiguous();
    at::Tensor dx = at::empty_like(x), dnorm = at::zeros_like(norm), dwq = at::zeros_like(wq), dwk = at::zeros_like(wk),
               dwv = at::zeros_like(wv);
    const ChunkBuffer normed(x, most, x.size(1)), dnormed(x, most, x.size(1)), stats(x, most, 2),
        wide(x, most, heads * width), narrow(x, most, kv_heads * width);
    for_chunks(rows, chunk_rows, [&](int64_t first, int64_t n) {
      at::Tensor small = normed.of(n), dsmall = dnormed.of(n), dq = wide.of(n), part = narrow.of(n);
      const at::Tensor from = x.narrow(0, first, n), c = saved[5].narrow(0, first, n), s = saved[6].narrow(0, first, n),
                       units = grad_kv.narrow(0, first, n);
      normalize_into(from, norm, settings, small, stats.of(n));
      turn(grad_q.narrow(0, first, n), dq, c, s, -1, heads);
      at::mm_out(dsmall, dq, wq);
      dwq.addmm_(dq.t(), small);
      turn(units, part, c, s, -1, kv_heads);
      dsmall.addmm_(part, wk);
      dwk.addmm_(part.t(), small);
      part.view({n, kv_heads, width}).copy_(units.narrow(2, width, width));
      dsmall.addmm_(part, wv);
      dwv.addmm_(part.t(), small);
      normalize_back(from, norm, stats.of(n), settings, dsmall, {}, dx.narrow(0, first, n), dnorm);
    });
    return {dx, dnorm, dwq, dwk, dwv, {}, {}, {}, {}};
  }
};

}  // namespace

RotaryTable rotary_table(const at::Tensor& position, int64_t width, double base, at::ScalarType dtype) {
  const at::Tensor at = position.contiguous();
  RotaryTable out{at::empty({at.size(0), width / 2}, dtype), at::empty({at.size(0), width / 2}, dtype)};
  with_float_type(out.cosine, [&](auto t) {
    using T = decltype(t);
    kernels::rotary_table<T>(at.const_data_ptr<int64_t>(), at.size(0), width, base, out.cosine.mutable_data_ptr<T>(),
                             out.sine.mutable_data_ptr<T>());
  });
  return out;
}

at::Tensor rotate(const at::Tensor& x, const RotaryTable& table) {
  const at::Tensor from = x.contiguous();
  at::Tensor to = at::empty_like(from);
  turn(from, to, table.cosine, table.sine, 1, from.size(1));
  return to;
}

AttentionOperands attention_input(const at::Tensor& x, const AttentionWeights& w, const RotaryTable& table,
                                  int64_t head_width, const NormSettings& norm, int64_t chunk_rows) {
  SB_CHECK(x.dim() == 2 && w.norm.dim() == 1 && w.norm.size(0) == x.size(1) && w.q.dim() == 2 &&
               w.q.size(1) == x.size(1) && w.q.size(0) % head_width == 0 && w.k.dim() == 2 &&
               w.k.size(1) == x.size(1) && w.k.size(0) % head_width == 0 && w.v.sizes() == w.k.sizes() &&
               table.cosine.sizes() == at::IntArrayRef({x.size(0), head_width / 2}) &&
               table.sine.sizes() == table.cosine.sizes(),
           Shape, "attention_input: x ", x.sizes(), ", norm ", w.norm.sizes(), ", q ", w.q.sizes(), ", k ", w.k.sizes(),
           ", v ", w.v.sizes(), ", table ", table.cosine.sizes(), ", D ", head_width,
           ", expected [T, C], [C], [H·D, C], [G·D, C], [G·D, C], [T, D/2]");
  const auto out = AttentionInput::apply(x, w.norm, w.q, w.k, w.v, table.cosine, table.sine, norm, chunk_rows);
  return {out[0], out[1]};
}

}  // namespace smartbird
