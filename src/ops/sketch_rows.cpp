// Autograd functions around kernels/sketch_rows.h. Only the forward passes have to be row-stable.
#include "ops/sketch_rows.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/row_sums.h"
#include "kernels/sketch_rows.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct Linear : Function<Linear> {
  static Variable forward(AutogradContext* ctx, const Variable& input, const Variable& weight) {
    const at::Tensor x = input.contiguous(), w = weight.contiguous();
    at::Tensor y = at::empty({x.size(0), w.size(0)}, x.options());
    with_float_type(x, [&](auto t) {
      using T = decltype(t);
      kernels::row_linear<T>(x.const_data_ptr<T>(), w.const_data_ptr<T>(), x.size(0), w.size(1), w.size(0),
                             y.mutable_data_ptr<T>());
    });
    ctx->save_for_backward({x, w});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {ctx->needs_input_grad(0) ? at::mm(grads[0], saved[1]) : at::Tensor(), at::mm(grads[0].t(), saved[0])};
  }
};

struct Norm : Function<Norm> {
  static Variable forward(AutogradContext* ctx, const Variable& input, const Variable& weight, double epsilon) {
    const at::Tensor x = input.contiguous(), w = weight.contiguous();
    at::Tensor y = at::empty_like(x), inverse = at::empty({x.size(0)}, x.options());
    with_float_type(x, [&](auto t) {
      using T = decltype(t);
      kernels::row_norm<T>(x.const_data_ptr<T>(), w.const_data_ptr<T>(), epsilon, x.size(0), x.size(1),
                           y.mutable_data_ptr<T>(), inverse.mutable_data_ptr<T>());
    });
    ctx->save_for_backward({x, w, inverse});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1], r = saved[2].unsqueeze(1);
    const at::Tensor scaled = grads[0] * w;
    const at::Tensor inner = (scaled * x).sum(1, true) / static_cast<double>(x.size(1));
    return {r * scaled - x * r.pow(3) * inner, (grads[0] * x * r).sum(0), {}};
  }
};

struct Convolution : Function<Convolution> {
  static Variable forward(AutogradContext* ctx, const Variable& input, const Variable& taps, const Variable& weight) {
    const at::Tensor x = input.contiguous(), tap = taps.contiguous(), w = weight.contiguous();
    at::Tensor y = at::empty({tap.size(0), x.size(1)}, x.options());
    with_float_type(x, [&](auto t) {
      using T = decltype(t);
      kernels::row_convolution<T>(x.const_data_ptr<T>(), tap.const_data_ptr<int64_t>(), w.const_data_ptr<T>(),
                                  tap.size(0), tap.size(1), x.size(1), y.mutable_data_ptr<T>());
    });
    ctx->save_for_backward({x, tap, w});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &tap = saved[1], &w = saved[2];
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor grad_x = at::zeros_like(x), grad_w = at::zeros_like(w);
    with_float_type(x, [&](auto t) {
      using T = decltype(t);
      kernels::convolution_gradient<T>(x.const_data_ptr<T>(), tap.const_data_ptr<int64_t>(), w.const_data_ptr<T>(),
                                       grad.const_data_ptr<T>(), tap.size(0), tap.size(1), x.size(1),
                                       grad_x.mutable_data_ptr<T>(), grad_w.mutable_data_ptr<T>());
    });
    return {grad_x, {}, grad_w};
  }
};

struct Means : Function<Means> {
  static Variable forward(AutogradContext* ctx, const Variable& input, const Variable& starts, const Variable& rows) {
    const at::Tensor x = input.contiguous(), start = starts.contiguous(), row = rows.contiguous();
    at::Tensor y = at::empty({start.size(0) - 1, x.size(1)}, x.options());
    with_float_type(x, [&](auto t) {
      using T = decltype(t);
      kernels::mean_of_rows<T>(start.const_data_ptr<int64_t>(), row.const_data_ptr<int64_t>(), x.const_data_ptr<T>(),
                               y.size(0), y.size(1), y.mutable_data_ptr<T>());
    });
    ctx->save_for_backward({start, row});
    ctx->saved_data["rows"] = x.size(0);
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor grad_x = at::zeros({ctx->saved_data["rows"].toInt(), grad.size(1)}, grad.options());
    with_float_type(grad, [&](auto t) {
      using T = decltype(t);
      kernels::mean_of_rows_gradient<T>(saved[0].const_data_ptr<int64_t>(), saved[1].const_data_ptr<int64_t>(),
                                        grad.const_data_ptr<T>(), grad.size(0), grad.size(1),
                                        grad_x.mutable_data_ptr<T>());
    });
    return {grad_x, {}, {}};
  }
};

at::Tensor turn(const at::Tensor& x, const at::Tensor& positions, double base, int direction) {
  const at::Tensor position = positions.contiguous();
  at::Tensor y = x.clone(at::MemoryFormat::Contiguous);
  with_float_type(y, [&](auto t) {
    using T = decltype(t);
    kernels::row_rotary<T>(y.mutable_data_ptr<T>(), position.const_data_ptr<int64_t>(), y.size(0), y.size(1), base,
                           direction);
  });
  return y;
}

struct Rotary : Function<Rotary> {
  static Variable forward(AutogradContext* ctx, const Variable& x, const Variable& position, double base) {
    ctx->save_for_backward({position});
    ctx->saved_data["base"] = base;
    return turn(x, position, base, 1);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {turn(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["base"].toDouble(), -1), {}, {}};
  }
};

}  // namespace

at::Tensor sketch_linear(const at::Tensor& x, const at::Tensor& weight) { return Linear::apply(x, weight); }
at::Tensor sketch_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return Norm::apply(x, weight, epsilon);
}
at::Tensor sketch_convolution(const at::Tensor& x, const at::Tensor& tap, const at::Tensor& weight) {
  return Convolution::apply(x, tap, weight);
}
at::Tensor sketch_means(const at::Tensor& x, const at::Tensor& start, const at::Tensor& row) {
  return Means::apply(x, start, row);
}
at::Tensor sketch_rotary(const at::Tensor& x, const at::Tensor& position, double base) {
  return Rotary::apply(x, position, base);
}

}  // namespace smartbird
