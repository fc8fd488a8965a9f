// What one micro-step of computation knows about its surroundings: who computes, who holds which token, which random
// numbers apply. Threaded through read-only; only the timers are written.
#pragma once

#include "comm/world.h"
#include "core/link.h"
#include "core/philox.h"
#include "core/timer.h"
#include "data/layout.h"

namespace smartbird {

enum class Phase { Train, Evaluate };

struct StepContext {
  const World& world;
  const Layout& layout;
  StageTimer& timer;
  uint64_t seed = 0;
  int64_t step = 0;  // counts from 1
  Phase phase = Phase::Train;
  Link link = {};  // of the sequence group, for exchange.plan = auto

  [[nodiscard]] Communicator& group() const { return world.sequence(); }
  [[nodiscard]] Communicator& tensors() const { return world.sequence_tensors(); }
  [[nodiscard]] int rank() const { return world.sequence().rank(); }
  // Evaluation has a fixed key of its own, so that it does not depend on when it happens.
  [[nodiscard]] PhiloxKey key(Purpose purpose) const {
    return phase == Phase::Train ? philox_key(seed, static_cast<uint64_t>(step), purpose)
                                 : philox_key(static_cast<uint64_t>(Purpose::Evaluate), 0, purpose);
  }
};

}  // namespace smartbird
