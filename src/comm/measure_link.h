// The link of a group as its exchanges see it: the slowest rank's time of an all-to-all without payload, and what a
// growing payload adds. Collective; the answer is the same on all ranks.
#pragma once

#include "comm/communicator.h"
#include "core/link.h"

namespace smartbird {

// `group` carries `send` and `recv` (kLinkBytes each, in the memory that it is over); `host` are the same ranks over host memory.
inline constexpr int64_t kLinkBytes = int64_t{1} << 25;
[[nodiscard]] Link measure_link(Communicator& group, Communicator& host, void* send, void* recv);

}  // namespace smartbird
