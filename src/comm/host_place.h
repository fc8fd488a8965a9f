// Which of the ranks of a host this one is: what a rank's GPU is chosen by, whatever launched the ranks.
#pragma once

#include "comm/communicator.h"

namespace smartbird {

// Among the ranks of this host, in the order of their ranks, from 0 on. Collective.
[[nodiscard]] int place_on_host(Communicator& everyone);

}  // namespace smartbird
