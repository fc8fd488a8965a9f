// The numbers of ranks that laws are tried on, and a body run by that many ranks as threads of this process.
#pragma once

#include <functional>
#include <vector>

#include "comm/thread_comm.h"

namespace smartbird::testing {

inline const std::vector<int> kWorldSizes{1, 2, 3, 5, 8, 16};

// Returns when every rank has ended; throws the error that came first on any rank.
inline void for_ranks(int size, const std::function<void(Communicator&)>& body) { run_thread_ranks(size, body); }

}  // namespace smartbird::testing
