// One lane for all groups.
#include "comm/nccl_groups.h"

#include "comm/cuda_check.h"
#include "comm/cuda_staged_comm.h"
#include "comm/nccl_comm.h"
#include "core/error.h"

namespace smartbird {

DeviceGroup over_nccl(const NcclGroups& groups) {
  const auto lane =
      std::make_shared<NcclLane>(NcclLimits{.timeout_s = groups.timeout_s}, groups.last_resort, groups.compute_stream);
  if (groups.host_tensors) check_device_memory("run.device = cpu", &groups);
  return [lane](std::unique_ptr<Communicator> host) { return std::make_unique<NcclComm>(std::move(host), lane); };
}

DeviceGroup through_host(ComputeStream compute) {
  return
      [compute](std::unique_ptr<Communicator> host) { return std::make_unique<StagedComm>(std::move(host), compute); };
}

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
  return join(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

}  // namespace smartbird
