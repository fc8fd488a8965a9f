// Which of the ranks of a host this one is: what a rank's GPU is chosen by, whatever launched the ranks.
#pragma once

#include "comm/communicator.h"

namespace smartbird {

struct HostPlace {
  int rank = 0, size = 1;  // among the ranks of this host, in the order of their ranks
};
[[nodiscard]] HostPlace place_on_host(Communicator& everyone);  // collective

}  // namespace smartbird
