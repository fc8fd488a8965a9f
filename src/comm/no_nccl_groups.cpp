// A build without NCCL.
#include "comm/nccl_groups.h"
#include "core/error.h"

namespace smartbird {

DeviceGroup over_nccl(const NcclGroups& /*groups*/) {
  fail(ErrorKind::Environment,
       "parallel.transport = nccl, but this build has no NCCL; use mpi, or build with the cuda preset");
}

DeviceGroup through_host(ComputeStream /*compute*/) {
  fail(ErrorKind::Environment,
       "the tensors of a GPU cannot travel: this build has no CUDA; build with the cuda preset");
}

std::string nccl_version() { return "none"; }

}  // namespace smartbird
