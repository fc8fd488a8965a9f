// World: the two groups a process belongs to. `everyone` holds all ranks; `sequence` holds the ranks that share one
// packed stream of tokens. With S sequence ranks, everyone = replicas x S: rank r is rank r % S of replica r / S.
// `across` holds the ranks with the same sequence rank in all replicas. These groups reach host memory; where tensors lie in
// device memory, two more groups of the same ranks carry them. Groups die before the session they came from.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "comm/communicator.h"

namespace smartbird {

// A group over device memory of the ranks of a group over host memory, which it keeps. Collective.
using DeviceGroup = std::function<std::unique_ptr<Communicator>(std::unique_ptr<Communicator> host)>;

class World {
 public:
  // sequence_ranks: 0 = all ranks; otherwise it must divide the number of ranks (ErrorKind::Config).
  // device_group: makes the groups that carry tensors; without it tensors lie in host memory.
  World(std::unique_ptr<Communicator> everyone, int sequence_ranks, const DeviceGroup& device_group = {});

  [[nodiscard]] Communicator& everyone() const { return *everyone_; }
  [[nodiscard]] Communicator& sequence() const { return *sequence_; }
  [[nodiscard]] Communicator& across() const { return *across_; }
  [[nodiscard]] Communicator& everyone_tensors() const { return everyone_device_ ? *everyone_device_ : *everyone_; }
  [[nodiscard]] Communicator& sequence_tensors() const { return sequence_device_ ? *sequence_device_ : *sequence_; }
  // Each group once, for what they count.
  [[nodiscard]] std::vector<Communicator*> groups() const;
  [[nodiscard]] int replica() const { return everyone_->rank() / sequence_->size(); }
  [[nodiscard]] int num_replicas() const { return everyone_->size() / sequence_->size(); }
  [[nodiscard]] bool is_root() const { return everyone_->rank() == 0; }

 private:
  std::unique_ptr<Communicator> everyone_, sequence_, across_;
  std::unique_ptr<Communicator> everyone_device_, sequence_device_;
};

}  // namespace smartbird
