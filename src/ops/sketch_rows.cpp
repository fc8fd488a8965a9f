// Autograd functions around kernels/sketch_rows.h. Only the forward passes have to be row-stable.
#include "ops/sketch_rows.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/row_sums.h"
#include "kernels/sketch_rows.h"
#include "ops/device_tensors.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Of a tensor on a GPU.
float* floats(const at::Tensor& x) {
  SB_CHECK(x.scalar_type() == at::kFloat, Shape, "sketch rows on a GPU: element type ", c10::toString(x.scalar_type()),
           ", expected float32");
  return data_of<float>(x);
}

struct Linear : Function<Linear> {
  static Variable forward(AutogradContext* ctx, const Variable& input, const Variable& weight) {
    const at::Tensor x = input.contiguous(), w = weight.contiguous();
    at::Tensor y = at::empty({x.size(0), w.size(0)}, x.options());
    if (on_device(x))
      kernels::row_linear(stream_of(x), floats(x), floats(w), x.size(0), w.size(1), w.size(0), floats(y));
    else
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
    if (on_device(x))
      kernels::row_norm(stream_of(x), floats(x), floats(w), epsilon, x.size(0), x.size(1), floats(y), floats(inverse));
    else
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

// body(t, rows that tap t of each row names, where there is none), on a GPU.
template <class Body>
void for_taps(const at::Tensor& tap, Body body) {
  for (int64_t t = 0; t < tap.size(1); ++t) {
    const at::Tensor row = tap.select(1, t);
    body(t, row.clamp_min(0), (row < 0).unsqueeze(1));
  }
}

struct Convolution : Function<Convolution> {
  static Variable forward(AutogradContext* ctx, const Variable& input, const Variable& taps, const Variable& weight) {
    const at::Tensor x = input.contiguous(), tap = taps.contiguous(), w = weight.contiguous();
    at::Tensor y = at::empty({tap.size(0), x.size(1)}, x.options());
    ctx->save_for_backward({x, tap, w});
    if (on_device(x)) {
      y.zero_();
      for_taps(tap, [&](int64_t t, const at::Tensor& row, const at::Tensor& none) {
        y.addcmul_(x.index_select(0, row).masked_fill_(none, 0), w.select(0, t));
      });
      return y;
    }
    with_float_type(x, [&](auto t) {
      using T = decltype(t);
      kernels::row_convolution<T>(x.const_data_ptr<T>(), tap.const_data_ptr<int64_t>(), w.const_data_ptr<T>(),
                                  tap.size(0), tap.size(1), x.size(1), y.mutable_data_ptr<T>());
    });
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &tap = saved[1], &w = saved[2];
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor grad_x = at::zeros_like(x), grad_w = at::zeros_like(w);
    if (on_device(x)) {
      for_taps(tap, [&](int64_t t, const at::Tensor& row, const at::Tensor& none) {
        grad_x.index_put_({row}, (grad * w.select(0, t)).masked_fill_(none, 0), true);
        grad_w.select(0, t).copy_((x.index_select(0, row).masked_fill_(none, 0) * grad).sum(0));
      });
      return {grad_x, {}, grad_w};
    }
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
    const at::Tensor x = input.contiguous(), start = starts.to(x.device()).contiguous(),
                     row = rows.to(x.device()).contiguous();
    at::Tensor y = at::empty({start.size(0) - 1, x.size(1)}, x.options());
    if (on_device(x))
      kernels::mean_of_rows(stream_of(x), data_of<int64_t>(start), data_of<int64_t>(row), floats(x), y.size(0),
                            y.size(1), floats(y));
    else
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
    if (on_device(grad)) {
      const at::Tensor count = saved[0].diff(),
                       list = at::arange(grad.size(0), count.options()).repeat_interleave(count);
      const at::Tensor each = grad / count.clamp_min(1).to(grad.scalar_type()).unsqueeze(1);
      return {grad_x.index_put_({saved[1]}, each.index_select(0, list), true), {}, {}};
    }
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
  if (on_device(x)) {
    const int64_t pairs = x.size(1) / 2;
    const at::TensorOptions wide = x.options().dtype(at::kDouble).requires_grad(false);
    const at::Tensor frequency = at::pow(base, at::arange(pairs, wide) * (-2.0 / static_cast<double>(x.size(1)))),
                     angle = position.to(wide.device()).to(at::kDouble).unsqueeze(1) * frequency;
    const at::Tensor c = angle.cos().to(x.scalar_type()), s = (angle.sin() * direction).to(x.scalar_type()),
                     from = x.reshape({x.size(0), pairs, 2}), first = from.select(2, 0), second = from.select(2, 1);
    y.copy_(at::stack({first * c - second * s, first * s + second * c}, 2).view_as(y));
    return y;
  }
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
