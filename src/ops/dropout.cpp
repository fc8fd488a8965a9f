// The factors, and Torch's product with them.
#include "ops/dropout.h"

#include "ops/device_tensors.h"

namespace smartbird {

at::Tensor drop_out(const at::Tensor& h, const at::Tensor& sample, const at::Tensor& position,
                    const kernels::Dropout& options) {
  SB_CHECK(h.dim() == 2 && sample.sizes() == position.sizes() && sample.numel() == h.size(0), Shape, "drop_out: h ",
           h.sizes(), ", sample ", sample.sizes(), ", position ", position.sizes(), ", expected [T, C], [T], [T]");
  at::Tensor factor = at::empty(h.sizes(), h.options().requires_grad(false));
  const int64_t *samples = data_of<int64_t>(sample), *positions = data_of<int64_t>(position);
  if (on_device(h)) {
    SB_CHECK(h.scalar_type() == at::kFloat, Shape, "drop_out on a GPU: element type ", c10::toString(h.scalar_type()),
             ", expected float32");
    kernels::dropout_factors(stream_of(h), options, samples, positions, h.size(0), h.size(1), data_of<float>(factor));
  } else {
    with_float_type(h, [&](auto t) {
      using T = decltype(t);
      kernels::dropout_factors<T>(options, samples, positions, h.size(0), h.size(1), data_of<T>(factor));
    });
  }
  return h * factor;
}

}  // namespace smartbird
