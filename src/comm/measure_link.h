// The link of a group as its exchanges see it: the slowest rank's time of an all-to-all without payload, and what a
// growing payload adds. Collective; the answer is the same on all ranks.
#pragma once

#include "comm/communicator.h"
#include "core/link.h"

namespace smartbird {

[[nodiscard]] Link measure_link(Communicator& group);

}  // namespace smartbird
