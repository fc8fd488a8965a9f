// A failed call of the CUDA runtime as an error (ErrorKind::Device) that names it.
#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace smartbird {

inline void check_cuda(cudaError_t code, const char* call) {
  SB_CHECK(code == cudaSuccess, Device, call, ": ", cudaGetErrorString(code));
}

// Whether an event has happened: success, cudaErrorNotReady or an error. The runtime would keep "not ready" as this thread's last
// error, and the next launch of a kernel would take it for its own.
inline cudaError_t state_of(cudaEvent_t event) {
  const cudaError_t state = cudaEventQuery(event);
  if (state == cudaErrorNotReady) cudaGetLastError();
  return state;
}

// NCCL reads and writes the memory of a GPU only.
inline void check_device_memory(const char* what, const void* at) {
  cudaPointerAttributes about{};
  const bool known = at == nullptr || cudaPointerGetAttributes(&about, at) == cudaSuccess;
  SB_CHECK(at == nullptr || (known && about.type == cudaMemoryTypeDevice), Device, what,
           ": the tensor is in host memory, and NCCL carries the memory of GPUs only; set run.device = cuda, or use "
           "parallel.transport = mpi");
}

}  // namespace smartbird
