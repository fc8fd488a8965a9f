// One communicator of NCCL. It is created non-blocking, so that a rank that never comes is an error after the deadline and
// not an endless wait; every call is followed until it is no longer in progress; after an error it is aborted. Errors
// (ErrorKind::Comm) carry the operation, the rank, NCCL's text and its last words.
#pragma once

#include <nccl.h>

#include <functional>
#include <mutex>
#include <string>

#include "comm/communicator.h"
#include "comm/nccl_watch.h"

namespace smartbird {

class NcclHandle {
 public:
  // Collective over the ranks of `host`: rank 0 makes the id of the communicator, and `host` brings it to the others.
  NcclHandle(Communicator& host, NcclWatch& watch);
  ~NcclHandle();  // aborts what nobody ended
  NcclHandle(const NcclHandle&) = delete;
  NcclHandle& operator=(const NcclHandle&) = delete;

  // Queues what `calls` asks for as one group; returns when it is queued, not when it is done.
  void group(const std::string& what, const std::function<ncclResult_t(ncclComm_t)>& calls);
  // What the communicator has met since, "" if nothing. The second does not wait for a call that is being made on it just now; the
  // first does, so that no wait for an exchange misses its error because somebody else was looking.
  [[nodiscard]] std::string error();
  [[nodiscard]] std::string error_if_free();
  // Waits for all ranks to end it, at most the deadline.
  void end();
  // Ends everything that is under way and the communicator with it. From any thread; again does nothing.
  void abort();

 private:
  void settle(const std::string& what);
  [[nodiscard]] std::string text_of(ncclResult_t result) const;
  [[nodiscard]] std::string state_text() const;  // under the lock

  NcclWatch& watch_;
  const int rank_, size_;
  std::mutex mutex_;
  ncclComm_t comm_ = nullptr;
};

}  // namespace smartbird
