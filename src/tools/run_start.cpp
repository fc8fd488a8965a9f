// Devices and groups of a run, its checkpoint, its help.
#include "tools/run_start.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "comm/checked_comm.h"
#include "comm/host_place.h"
#include "comm/nccl_groups.h"
#include "config/rules.h"
#include "core/error.h"
#include "ops/open_gpu.h"
#include "train/agree.h"
#include "train/checkpoint.h"
#include "train/checkpoint_options.h"

namespace smartbird {
namespace {

// While the host is stuck in an exchange nobody can catch an error: the launcher ends the other ranks.
void end_stuck_process(const std::string& text) {
  std::fprintf(stderr, "smartbird: %s\n", text.c_str());
  std::_Exit(exit_code(ErrorKind::Comm));
}

DeviceGroup tensor_groups(const Options& o) {
  const bool gpu = o.run.device == "cuda";
  if (transport_of(o) == "mpi") return gpu ? through_host() : DeviceGroup();
  const DeviceGroup nccl =
      over_nccl({.timeout_s = o.parallel.nccl_timeout_s, .last_resort = end_stuck_process, .host_tensors = !gpu});
  if (!o.run.check_comm) return nccl;
  return [nccl](std::unique_ptr<Communicator> host) {
    std::unique_ptr<Communicator> compares = host->split(0, host->rank());
    return std::make_unique<CheckedComm>(nccl(std::move(host)), std::move(compares));
  };
}

}  // namespace

at::Device device_of(Communicator& everyone, const Options& o) {
  if (o.run.device == "cpu") return at::kCPU;
  return open_gpu(place_on_host(everyone));
}

World world_of(std::unique_ptr<Communicator> everyone, const Options& o) {
  if (o.run.check_comm) everyone = std::make_unique<CheckedComm>(std::move(everyone));
  return World(std::move(everyone), static_cast<int>(o.parallel.sequence_ranks), tensor_groups(o));
}

bool wants_help(const Arguments& arguments) {
  return std::find(arguments.begin(), arguments.end(), "--help") != arguments.end();
}

std::string found_checkpoint(const std::string& key, const std::string& name) {
  std::vector<std::string> warnings;
  const std::string folder = find_checkpoint(name, warnings);
  for (const std::string& warning : warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  SB_CHECK(!folder.empty(), Data, key, " = ", name, ": no complete checkpoint there");
  return folder;
}

std::string chosen_checkpoint(Communicator& everyone, const std::string& key, const std::string& name) {
  SB_CHECK(!name.empty(), Config, key, " is empty; give --", key, "=DIR (a run or checkpoint folder)");
  return chosen_by_root(everyone, [&] {
    const std::string folder = found_checkpoint(key, name);
    warn_of_options_since(folder);
    return folder;
  });
}

}  // namespace smartbird
