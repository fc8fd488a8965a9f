// The stand-in device as the GPU of a rank, whose memory the stand-in for the CUDA runtime tells from the host's.
#include "ops/open_gpu.h"

#include "tests/support/fake_nccl/state.h"
#include "tests/support/torch_device/memory.h"

namespace smartbird {

c10::Device open_gpu(int place_on_host) {
  fake_nccl::is_host_memory() = [](const void* at) { return !torch_device::holds(at); };
  torch_device::current_device() = static_cast<c10::DeviceIndex>(place_on_host % 8);  // as many as it says
  return {c10::DeviceType::PrivateUse1, torch_device::current_device()};
}

}  // namespace smartbird
