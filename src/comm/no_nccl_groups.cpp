// A build without NCCL.
#include "comm/nccl_groups.h"
#include "core/error.h"

namespace smartbird {

DeviceGroup over_nccl(const NcclGroups& /*groups*/) {
  fail(ErrorKind::Environment,
       "parallel.transport = nccl, but this build has no NCCL; leave it at mpi, or build with the cuda preset");
}

std::string nccl_version() { return "none"; }

}  // namespace smartbird
