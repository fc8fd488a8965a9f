// LibTorch's part for GPUs is loaded when a run asks for it: it needs the libraries of CUDA, which a machine without a GPU lacks.
#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstdlib>

#include "core/error.h"
#include "ops/open_gpu.h"

namespace smartbird {

c10::Device open_gpu(int place_on_host) {
  // Sums of the same run have the same bits: cuBLAS with a fixed workspace, index_add by sorting.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  SB_CHECK(
      dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr, Environment,
      "run.device = cuda: LibTorch's part for GPUs cannot be loaded (", dlerror(),
      "); install the libraries of CUDA that it names (pip install torch brings them), or leave run.device at cpu");
  const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
  const int gpus = guard.deviceCount();
  SB_CHECK(gpus > 0, Device,
           "run.device = cuda, but no GPU is visible; look at nvidia-smi and CUDA_VISIBLE_DEVICES, or "
           "leave run.device at cpu");
  at::globalContext().lazyInitDevice(c10::kCUDA);
  const c10::Device device(c10::kCUDA, static_cast<c10::DeviceIndex>(place_on_host % gpus));
  guard.setDevice(device);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  at::globalContext().setAllowBF16ReductionCuBLAS(false);  // parts of a product of bfloat16 are summed in float32 too
  return device;
}

}  // namespace smartbird
