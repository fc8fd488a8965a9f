// Forward and backward of norm, projections and rotary positions.
#include "ops/attention_input.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/rotary.h"
#include "ops/device_tensors.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Rows and heads of x [n, heads · D] or [n, heads, ...], the first elements of each head.
template <class T>
kernels::HeadView<T> heads_of(const at::Tensor& x, int64_t heads) {
  T* data = const_cast<T*>(x.const_data_ptr<std::remove_const_t<T>>());
  if (x.dim() == 2) return {data, x.size(1), x.size(1) / heads};
  return {data, x.stride(0), x.stride(1)};
}

// The same by Torch, for tensors on a GPU.
void turn_there(const at::Tensor& from, const at::Tensor& to, const at::Tensor& cosine, const at::Tensor& sine,
                int direction, int64_t heads) {
  const int64_t half = cosine.size(1);
  const auto halves = [&](const at::Tensor& x) {
    const at::Tensor by_head = x.dim() == 2 ? x.view({x.size(0), heads, 2 * half}) : x;
    return std::pair{by_head.narrow(2, 0, half), by_head.narrow(2, half, half)};
  };
  const auto [low, high] = halves(from);
  const auto [to_low, to_high] = halves(to);
  const at::Tensor c = cosine.unsqueeze(1), s = sine.unsqueeze(1) * direction;
  const at::Tensor turned = low * c - high * s;  // from may be to
  to_high.copy_(high * c + low * s);
  to_low.copy_(turned);
}

void turn(const at::Tensor& from, const at::Tensor& to, const at::Tensor& cosine, const at::Tensor& sine, int direction,
          int64_t heads) {
  if (on_device(from)) return turn_there(from, to, cosine, sine, direction, heads);
  with_float_type(from, [&](auto t) {
    using T = decltype(t);
    kernels::rotate_heads<T>(heads_of<const T>(from, heads), cosine.const_data_ptr<T>(), sine.const_data_ptr<T>(),
                             direction, from.size(0), heads, 2 * cosine.size(1), heads_of<T>(to, heads));
  });
}

struct AttentionInput : Function<AttentionInput> {
  static variable_list forward(AutogradContext* ctx, const Variable& input, const Variable& norm, const Variable& wq_in,
                               const Variable& wk_in, const Variable& wv_in, const Variable& cosine,
                               const Variable& sine, NormSettings settings, int64_t chunk_rows,
                               const KvTravelPtr& travel, Factors factors) {
    const at::Tensor x = input.contiguous(), wq = factor(wq_in, factors), wk = factor(wk_in, factors),
                     wv = factor(wv_in, factors);
    const int64_t rows = x.size(0), width = 2 * cosine.size(1), heads = wq.size(0) / width,
                  kv_heads = wk.size(0) / width, most = std::min(rows, chunk_rows);
    at::Tensor q = at::empty({rows, heads, width}, wq.options()),
               kv = at::empty({kv_heads, rows, 2 * width}, wq.options()).transpose(0, 1);
    const ChunkBuffer normed(wq, most, x.size(1)), stats(x, most, 2), narrow(wq, most, kv_heads * width);
    const auto norm_rows = [&](int64_t first, int64_t n) {
      normalize_into(x.narrow(0, first, n), norm, settings, normed.of(n), stats.of(n));
    };
    const auto project_q = [&](int64_t first, int64_t n) {
      at::Tensor queries = q.narrow(0, first, n).view({n, heads * width});
      at::mm_out(queries, normed.of(n), wq.t());
      turn(queries, queries, cosine.narrow(0, first, n), sine.narrow(0, first, n), 1, heads);
    };
    const auto project_kv = [&](int64_t first, int64_t n) {
      at::Tensor part = narrow.of(n), units = kv.narrow(0, first, n);
      at::mm_out(part, normed.of(n), wk.t());
      turn(part, units, cosine.narrow(0, first, n), sine.narrow(0, first, n), 1, kv_heads);
      at::mm_out(part, normed.of(n), wv.t());
      units.narrow(2, width, width).copy_(part.view({n, kv_heads, width}));
    };
    if (!travel) {
      for_chunks(rows, chunk_rows,
                 [&](int64_t first, int64_t n) { norm_rows(first, n), project_q(first, n), project_kv(first, n); });
    } else {
      for_chunks(rows, chunk_rows, [&](int64_t first, int64_t n) { norm_rows(first, n), project_kv(first, n); });
      travel->depart(kv);
      for_chunks(rows, chunk_rows, [&](int64_t first, int64_t n) {
        norm_rows(first, n), project_q(first, n);
        travel->make_progress();
      });
      ctx->saved_data["travel"] = c10::IValue::make_capsule(travel);
    }
    ctx->save_for_backward({x, norm, wq_in, wk_in, wv_in, cosine, sine});
    ctx->saved_data["kind"] = static_cast<int64_t>(settings.kind);
    ctx->saved_data["epsilon"] = settings.epsilon;
    ctx->saved_data["chunk_rows"] = chunk_rows;
    ctx->saved_data["factors"] = static_cast<int64_t>(factors);
    return {q, kv};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto factors = static_cast<Factors>(ctx->saved_data["factors"].toInt());
    const at::Tensor &x = saved[0], &norm = saved[1];
    const at::Tensor wq = factor(saved[2], factors), wk = factor(saved[3], factors), wv = factor(saved[4], factors);
    const NormSettings settings{static_cast<kernels::NormKind>(ctx->saved_data["kind"].toInt()),
                                ctx->saved_data["epsilon"].toDouble()};
    const int64_t chunk_rows = ctx->saved_data["chunk_rows"].toInt(), rows = x.size(0),
                  most = std::min(rows, chunk_rows), width = 2 * saved[5].size(1), heads = wq.size(0) / width,
                  kv_heads = wk.size(0) / width;
    const auto held = ctx->saved_data.count("travel") > 0 ? ctx->saved_data["travel"].toCapsule() : nullptr;
    auto* const travel = static_cast<KvTravel*>(held.get());
    const at::Tensor grad_q = grads[0].contiguous(),
                     grad_kv = grads[1].transpose(0, 1).contiguous().transpose(0, 1);  // no copy of what is on its way
    at::Tensor dx = at::empty_like(x), dnorm = at::zeros_like(norm), dwq = at::zeros_like(saved[2]),
               dwk = at::zeros_like(saved[3]), dwv = at::zeros_like(saved[4]);
    const ChunkBuffer normed(wq, most, x.size(1)), dnormed(x, most, x.size(1)), stats(x, most, 2),
        wide(wq, most, heads * width), narrow(wq, most, kv_heads * width);
    const auto norm_rows = [&](int64_t first, int64_t n) {
      normalize_into(x.narrow(0, first, n), norm, settings, normed.of(n), stats.of(n));
    };
    const auto take_q = [&](int64_t first, int64_t n, at::Tensor dsmall) {
      at::Tensor dq = wide.of(n);
      turn(grad_q.narrow(0, first, n), dq, saved[5].narrow(0, first, n), saved[6].narrow(0, first, n), -1, heads);
      product_into(dsmall, {}, dq, wq);
      add_product(dwq, dq.t(), normed.of(n));
    };
    const auto take_kv = [&](int64_t first, int64_t n, at::Tensor dsmall) {
      at::Tensor part = narrow.of(n), small = normed.of(n);
      const at::Tensor units = grad_kv.narrow(0, first, n);
      turn(units, part, saved[5].narrow(0, first, n), saved[6].narrow(0, first, n), -1, kv_heads);
      add_product(dsmall, part, wk);
      add_product(dwk, part.t(), small);
      part.view({n, kv_heads, width}).copy_(units.narrow(2, width, width));
      add_product(dsmall, part, wv);
      add_product(dwv, part.t(), small);
      normalize_back(x.narrow(0, first, n), norm, stats.of(n), settings, dsmall, {}, dx.narrow(0, first, n), dnorm);
    };
    if (!travel) {
      for_chunks(rows, chunk_rows, [&](int64_t first, int64_t n) {
        norm_rows(first, n), take_q(first, n, dnormed.of(n)), take_kv(first, n, dnormed.of(n));
      });
    } else {  // dx holds what the queries give until keys and values are there
      for_chunks(rows, chunk_rows, [&](int64_t first, int64_t n) {
        norm_rows(first, n), take_q(first, n, dx.narrow(0, first, n));
        travel->make_progress();
      });
      travel->await_gradient(grads[1]);
      for_chunks(rows, chunk_rows, [&](int64_t first, int64_t n) {
        norm_rows(first, n), take_kv(first, n, dnormed.of(n).copy_(dx.narrow(0, first, n)));
      });
    }
    return {dx, dnorm, dwq, dwk, dwv, {}, {}, {}, {}, {}, {}};
  }
};

}  // namespace

RotaryTable rotary_table(const at::Tensor& position, int64_t width, double base, at::ScalarType dtype) {
  const at::Tensor at = position.contiguous();
  if (on_device(at)) {
    const at::TensorOptions wide = at.options().dtype(at::kDouble);
    const at::Tensor frequency = at::pow(base, at::arange(width / 2, wide) * (-2.0 / static_cast<double>(width))),
                     angle = at.to(at::kDouble).unsqueeze(1) * frequency;
    return {angle.cos().to(dtype), angle.sin().to(dtype)};
  }
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
                                  int64_t head_width, const NormSettings& norm, const KvTravelPtr& travel,
                                  int64_t chunk_rows, Factors factors) {
  SB_CHECK(x.dim() == 2 && w.norm.dim() == 1 && w.norm.size(0) == x.size(1) && w.q.dim() == 2 &&
               w.q.size(1) == x.size(1) && w.q.size(0) % head_width == 0 && w.k.dim() == 2 &&
               w.k.size(1) == x.size(1) && w.k.size(0) % head_width == 0 && w.v.sizes() == w.k.sizes() &&
               table.cosine.sizes() == at::IntArrayRef({x.size(0), head_width / 2}) &&
               table.sine.sizes() == table.cosine.sizes(),
           Shape, "attention_input: x ", x.sizes(), ", norm ", w.norm.sizes(), ", q ", w.q.sizes(), ", k ", w.k.sizes(),
           ", v ", w.v.sizes(), ", table ", table.cosine.sizes(), ", D ", head_width,
           ", expected [T, C], [C], [H·D, C], [G·D, C], [G·D, C], [T, D/2]");
  const bool beside = travel && travel->overlaps();
  if (beside) travel->promise_to_await();
  const auto out = AttentionInput::apply(x, w.norm, w.q, w.k, w.v, table.cosine, table.sine, norm, chunk_rows,
                                         beside ? travel : KvTravelPtr(), factors);
  return {out[0], out[1]};
}

}  // namespace smartbird
