// The groups of a World: replicas are consecutive runs of ranks, `across` cuts the other way.
#include "comm/world.h"

#include "core/error.h"

namespace smartbird {

World::World(std::unique_ptr<Communicator> everyone, int sequence_ranks, const DeviceGroup& device_group)
    : everyone_(std::move(everyone)) {
  const int ranks = everyone_->size(), rank = everyone_->rank();
  SB_CHECK(sequence_ranks >= 0 && (sequence_ranks == 0 || ranks % sequence_ranks == 0), Config,
           "parallel.sequence_ranks = ", sequence_ranks, " does not divide the ", ranks, " ranks of this run");
  const int width = sequence_ranks == 0 ? ranks : sequence_ranks;
  sequence_ = everyone_->split(rank / width, rank);
  across_ = everyone_->split(rank % width, rank);
  if (!device_group) return;
  everyone_device_ = device_group(everyone_->split(0, rank));
  sequence_device_ = device_group(sequence_->split(0, sequence_->rank()));
}

std::vector<Communicator*> World::groups() const {
  std::vector<Communicator*> out;
  for (const auto* group : {&everyone_, &sequence_, &across_, &everyone_device_, &sequence_device_})
    if (*group) out.push_back(group->get());
  return out;
}

}  // namespace smartbird
