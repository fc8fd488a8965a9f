// Groups over the memory of GPUs for World: over NCCL (parallel.transport = nccl), which share one lane, or through host memory
// (mpi). The build chooses the body: nccl_groups.cpp, or no_nccl_groups.cpp, which refuses (ErrorKind::Environment).
#pragma once

#include <functional>
#include <string>

#include "comm/world.h"

namespace smartbird {

// The stream (cudaStream_t) on which the calling thread computes.
using ComputeStream = std::function<void*()>;
inline void* default_stream() { return nullptr; }

struct NcclGroups {
  double timeout_s = 600;
  std::function<void(const std::string&)> last_resort;  // ends a process that is stuck, with this sentence
  ComputeStream compute_stream = default_stream;
  bool host_tensors = false;  // the run's tensors lie in host memory: ErrorKind::Device where NCCL cannot carry it
};

[[nodiscard]] DeviceGroup over_nccl(const NcclGroups& groups);
[[nodiscard]] DeviceGroup through_host(ComputeStream compute = default_stream);
// The version of NCCL that is linked, "none" without one.
[[nodiscard]] std::string nccl_version();

}  // namespace smartbird
