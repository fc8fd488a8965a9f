// World: the two groups a process belongs to. `everyone` holds all ranks; `sequence` holds the ranks that share one
// packed stream of tokens. With S sequence ranks, everyone = replicas x S: rank r is rank r % S of replica r / S.
// `across` holds the ranks with the same sequence rank in all replicas. Groups die before the session they came from.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace smartbird {

class World {
 public:
  // sequence_ranks: 0 = all ranks; otherwise it must divide the number of ranks (ErrorKind::Config).
  World(std::unique_ptr<Communicator> everyone, int sequence_ranks);

  [[nodiscard]] Communicator& everyone() const { return *everyone_; }
  [[nodiscard]] Communicator& sequence() const { return *sequence_; }
  [[nodiscard]] Communicator& across() const { return *across_; }
  [[nodiscard]] int replica() const { return everyone_->rank() / sequence_->size(); }
  [[nodiscard]] int num_replicas() const { return everyone_->size() / sequence_->size(); }
  [[nodiscard]] bool is_root() const { return everyone_->rank() == 0; }

 private:
  std::unique_ptr<Communicator> everyone_, sequence_, across_;
};

}  // namespace smartbird
