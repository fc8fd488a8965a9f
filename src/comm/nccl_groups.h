// Groups over NCCL for World (parallel.transport = nccl), which share one lane. The build chooses the body: nccl_groups.cpp, or
// no_nccl_groups.cpp, which refuses (ErrorKind::Environment).
#pragma once

#include <functional>
#include <string>

#include "comm/world.h"

namespace smartbird {

struct NcclGroups {
  double timeout_s = 600;
  std::function<void(const std::string&)> last_resort;             // ends a process that is stuck, with this sentence
  std::function<void*()> compute_stream = [] { return nullptr; };  // cudaStream_t on which the calling thread computes
};

[[nodiscard]] DeviceGroup over_nccl(const NcclGroups& groups);
// The version of NCCL that is linked, "none" without one.
[[nodiscard]] std::string nccl_version();

}  // namespace smartbird
