// Ranks as threads of one process, for tests: any number of ranks in milliseconds, with the errors a real network
// hides. A start copies its pieces into mailboxes and never blocks; a wait collects. Errors (ErrorKind::Comm): ranks
// that call different operations or disagree about bytes (operation, both ranks, both values); "peer rank R failed"; a
// rank that ended, or that has not come before the deadline, while others wait for it (operation, rank).
#pragma once

#include "comm/communicator.h"

namespace smartbird {

inline constexpr double kThreadDeadlineS = 120;

// One communicator per rank, in rank order; each is to be used by one thread.
[[nodiscard]] std::vector<std::unique_ptr<Communicator>> make_thread_group(int size,
                                                                           double deadline_s = kThreadDeadlineS);

// Runs body on every rank, each in its own thread, and returns when all have ended. A rank that throws frees its peers
// from their collectives; the error that came first is thrown again here.
void run_thread_ranks(int size, const std::function<void(Communicator&)>& body);

}  // namespace smartbird
