// The autograd function around kernels/normalize.h.
#include "ops/row_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include "ops/device_tensors.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct RowNorm : Function<RowNorm> {
  static Variable forward(AutogradContext* ctx, const Variable& input, const Variable& weight, int64_t kind,
                          double epsilon) {
    const at::Tensor x = input.contiguous(), w = weight.contiguous();
    at::Tensor y = at::empty_like(x), stats = at::empty({x.size(0), 2}, x.options());
    normalize_into(x, w, {static_cast<kernels::NormKind>(kind), epsilon}, y, stats);
    ctx->save_for_backward({x, w, stats});
    ctx->saved_data["kind"] = kind;
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    at::Tensor dx = at::empty_like(saved[0]), dweight = at::zeros_like(saved[1]);
    normalize_back(saved[0], saved[1], saved[2],
                   {.kind = static_cast<kernels::NormKind>(ctx->saved_data["kind"].toInt())}, grads[0].contiguous(), {},
                   dx, dweight);
    return {dx, dweight, {}, {}};
  }
};

}  // namespace

void normalize_into(const at::Tensor& x, const at::Tensor& weight, const NormSettings& settings, at::Tensor y,
                    at::Tensor stats) {
  if (on_device(x)) {
    at::Tensor mean = stats.narrow(1, 0, 1), r = stats.narrow(1, 1, 1);
    if (settings.kind == kernels::NormKind::Layer)
      mean.copy_(x.mean(1, true));
    else
      mean.zero_();
    r.copy_((x - mean).square_().mean(1, true).add_(settings.epsilon).rsqrt_());
    y.copy_((x - mean).mul_(r).mul_(weight));
    return;
  }
  with_float_type(x, [&](auto t) {
    using T = decltype(t);
    kernels::normalize_rows<T>(settings.kind, settings.epsilon, x.const_data_ptr<T>(), weight.const_data_ptr<T>(),
                               x.size(0), x.size(1), y.mutable_data_ptr<T>(), stats.mutable_data_ptr<T>());
  });
}

void normalize_back(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& stats,
                    const NormSettings& settings, const at::Tensor& dy, const at::Tensor& add, at::Tensor dx,
                    at::Tensor dweight) {
  if (on_device(x)) {
    const at::Tensor r = stats.narrow(1, 1, 1), unit = (x - stats.narrow(1, 0, 1)).mul_(r), g = dy * weight;
    dweight.add_((dy * unit).sum(0));
    at::Tensor out = g - unit * (g * unit).mean(1, true);
    if (settings.kind == kernels::NormKind::Layer) out.sub_(g.mean(1, true));
    out.mul_(r);
    dx.copy_(add.defined() ? out.add_(add) : out);
    return;
  }
  with_float_type(x, [&](auto t) {
    using T = decltype(t);
    kernels::normalize_gradient<T>(settings.kind, x.const_data_ptr<T>(), weight.const_data_ptr<T>(),
                                   stats.const_data_ptr<T>(), dy.const_data_ptr<T>(),
                                   add.defined() ? add.const_data_ptr<T>() : nullptr, x.size(0), x.size(1),
                                   dx.mutable_data_ptr<T>(), dweight.mutable_data_ptr<T>());
  });
}

at::Tensor row_norm(const at::Tensor& x, const at::Tensor& weight, const NormSettings& settings) {
  SB_CHECK(x.dim() == 2 && weight.dim() == 1 && weight.size(0) == x.size(1), Shape, "row_norm: x ", x.sizes(),
           ", weight ", weight.sizes(), ", expected [T, C], [C]");
  return RowNorm::apply(x, weight, static_cast<int64_t>(settings.kind), settings.epsilon);
}

}  // namespace smartbird
