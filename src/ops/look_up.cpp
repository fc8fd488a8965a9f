// The autograd function of a look-up.
#include "ops/look_up.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/row_sums.h"
#include "ops/device_tensors.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct LookUp : Function<LookUp> {
  static Variable forward(AutogradContext* ctx, const Variable& table, const Variable& index) {
    const at::Tensor there = index.to(table.device()).contiguous();
    ctx->save_for_backward({there});
    ctx->saved_data["entries"] = table.size(0);
    return at::index_select(table, 0, there);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor index = ctx->get_saved_variables()[0], rows = grads[0].contiguous();
    at::Tensor grad = at::zeros({ctx->saved_data["entries"].toInt(), rows.size(1)}, rows.options());
    if (on_device(rows)) return {grad.index_put_({index}, rows, true), {}};  // it sorts there: the order is fixed
    with_float_type(rows, [&](auto t) {
      using T = decltype(t);
      kernels::add_rows_by_index<T>(index.const_data_ptr<int64_t>(), rows.const_data_ptr<T>(), rows.size(0),
                                    rows.size(1), grad.mutable_data_ptr<T>());
    });
    return {grad, {}};
  }
};

}  // namespace

at::Tensor look_up(const at::Tensor& table, const at::Tensor& index) {
  SB_CHECK(table.dim() == 2 && index.dim() == 1, Shape, "look_up: table ", table.sizes(), ", index ", index.sizes(),
           ", expected [V, C], [T]");
  return LookUp::apply(table, index);
}

}  // namespace smartbird
