// Streams without the headers of CUDA.
#include "ops/device_tensors.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

namespace smartbird {
namespace {

thread_local bool host_memory_is_device = false;

}  // namespace

bool on_device(const at::Tensor& x) { return !x.is_cpu() || host_memory_is_device; }

HostMemoryIsDevice::HostMemoryIsDevice() : before_(std::exchange(host_memory_is_device, true)) {}
HostMemoryIsDevice::~HostMemoryIsDevice() { host_memory_is_device = before_; }

kernels::Stream stream_of(const at::Tensor& x) {
  if (x.is_cpu()) return {};
  return {c10::impl::VirtualGuardImpl(x.device().type()).getStream(x.device()).native_handle()};
}

}  // namespace smartbird
