// The autograd function around kernels/sparse_attention.h, and the gathering of its units.
#include "ops/sparse_attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "kernels/sparse_attention.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

template <class T>
kernels::AttentionInput<T> kernel_input(const at::Tensor& q, const at::Tensor& units, const Plan& plan) {
  kernels::AttentionInput<T> in;
  in.rows = q.size(0), in.units = units.size(0);
  in.heads = plan.heads, in.kv_heads = plan.kv_heads, in.width = static_cast<int>(q.size(2));
  in.scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(q.size(2))));
  in.q = q.const_data_ptr<T>(), in.kv = units.const_data_ptr<T>();
  in.band_begin = plan.band_begin.data(), in.band_end = plan.band_end.data();
  in.token_slot = plan.token_slot.data(), in.num_tokens = static_cast<int64_t>(plan.token_slot.size());
  in.blocks = plan.num_blocks, in.pick_heads = plan.pick_heads, in.row_block = plan.row_block.data();
  in.pick_start = plan.pick_start.data(), in.pick_unit = plan.pick_unit.data(), in.pick_token = plan.pick_token.data();
  in.pick_log_pi = plan.pick_log_pi.const_data_ptr<T>();
  in.tiles = &plan.tiles;
  return in;
}

struct SparseAttention : Function<SparseAttention> {
  static Variable forward(AutogradContext* ctx, const Variable& q_in, const Variable& units_in, const Plan* plan) {
    const at::Tensor q = q_in.contiguous(), units = units_in.contiguous();
    at::Tensor o = at::empty_like(q), lse = at::empty({q.size(0), q.size(1)}, q.options());
    with_float_type(q, [&](auto t) {
      using T = decltype(t);
      const auto in = kernel_input<T>(q, units, *plan);
      at::Tensor m = at::empty_like(lse), l = at::empty_like(lse), acc = at::empty_like(q);
      T *mp = m.mutable_data_ptr<T>(), *lp = l.mutable_data_ptr<T>(), *ap = acc.mutable_data_ptr<T>();
      kernels::attention_begin<T>(in.rows, in.heads, in.width, mp, lp, ap);
      kernels::attention_band<T>(in, mp, lp, ap);
      if (in.pick_heads > 0) kernels::attention_picks<T>(in, mp, lp, ap);
      kernels::attention_finish<T>(in.rows, in.heads, in.width, mp, lp, ap, o.mutable_data_ptr<T>(),
                                   lse.mutable_data_ptr<T>());
    });
    ctx->save_for_backward({q, units, o, lse});
    ctx->saved_data["plan"] = reinterpret_cast<int64_t>(plan);
    return o;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Plan& plan = *reinterpret_cast<const Plan*>(ctx->saved_data["plan"].toInt());
    const at::Tensor &q = saved[0], &units = saved[1], grad = grads[0].contiguous();
    at::Tensor grad_q = at::empty_like(q), grad_units = at::empty_like(units);
    with_float_type(q, [&](auto t) {
      using T = decltype(t);
      kernels::attention_backward<T>(kernel_input<T>(q, units, plan), saved[2].const_data_ptr<T>(),
                                     saved[3].const_data_ptr<T>(), grad.const_data_ptr<T>(),
                                     grad_q.mutable_data_ptr<T>(), grad_units.mutable_data_ptr<T>());
    });
    return {grad_q, grad_units, {}};
  }
};

}  // namespace

at::Tensor gather_units(const StepContext& context, const at::Tensor& kv, const Plan& plan) {
  SB_CHECK(kv.dim() == 3 && kv.size(0) == plan.num_rows && kv.size(1) == plan.kv_heads, Shape,
           "gather_units: kv has shape ", kv.sizes(), ", expected [", plan.num_rows, ", ", plan.kv_heads,
           ", 2D] (T, G, 2D)");
  const int64_t width = kv.size(2);
  const at::Tensor flat = kv.reshape({kv.size(0) * kv.size(1), width});
  const at::Tensor halo = fetch_rows(context.group(), plan.fetch_all ? "rows" : "band_halo", kv, plan.halo);
  const at::Tensor globals = fetch_rows(context.group(), "global_keys", kv, plan.globals);
  const at::Tensor rows = fetch_rows(context.group(), "rows", flat, plan.rows);
  return at::cat({flat, halo.reshape({-1, width}), globals.reshape({-1, width}), rows}, 0);
}

at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& units, const Plan& plan) {
  SB_CHECK(q.dim() == 3 && q.size(0) == plan.num_rows && q.size(1) == plan.heads, Shape,
           "sparse_attention: q has shape ", q.sizes(), ", expected [", plan.num_rows, ", ", plan.heads,
           ", D] (T, H, D)");
  SB_CHECK(units.dim() == 2 && units.size(0) == plan.num_units && units.size(1) == 2 * q.size(2), Shape,
           "sparse_attention: units have shape ", units.sizes(), ", expected [", plan.num_units, ", ", 2 * q.size(2),
           "] (U, 2D)");
  return SparseAttention::apply(q, units, &plan);
}

}  // namespace smartbird
