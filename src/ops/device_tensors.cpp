// Streams without the headers of CUDA.
#include "ops/device_tensors.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace smartbird {

kernels::Stream stream_of(const at::Tensor& x) {
  if (x.is_cpu()) return {};
  return {c10::impl::VirtualGuardImpl(x.device().type()).getStream(x.device()).native_handle()};
}

}  // namespace smartbird
