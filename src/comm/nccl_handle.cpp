// Start, groups of calls, end.
#include "comm/nccl_handle.h"

#include <utility>

#include "core/error.h"
#include "core/timer.h"

namespace smartbird {
namespace {

constexpr std::chrono::microseconds kBetweenPolls{50};

}  // namespace

NcclHandle::NcclHandle(Communicator& host, NcclWatch& watch) : watch_(watch), rank_(host.rank()), size_(host.size()) {
  struct {
    ncclUniqueId id;
    ncclResult_t result;
  } made{};
  if (rank_ == 0) made.result = ncclGetUniqueId(&made.id);
  host.broadcast("nccl_id", &made, sizeof made, DType::u8, 0);
  SB_CHECK(made.result == ncclSuccess, Comm, "NCCL: ncclGetUniqueId on rank 0: ", text_of(made.result));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t started = ncclCommInitRankConfig(&comm_, size_, made.id, rank_, &config);
  try {
    SB_CHECK(started == ncclSuccess || started == ncclInProgress, Comm, "NCCL: the start of rank ", rank_, " of ",
             size_, ": ", text_of(started));
    settle("the start");
  } catch (...) {
    abort();
    throw;
  }
}

NcclHandle::~NcclHandle() { abort(); }

void NcclHandle::end() {
  ncclResult_t ending = ncclSuccess;
  {
    const std::lock_guard lock(mutex_);
    if (!comm_) return;
    ending = ncclCommFinalize(comm_);
  }
  if (ending == ncclInProgress) settle("the end"), ending = ncclSuccess;
  const std::lock_guard lock(mutex_);
  if (comm_ && ending == ncclSuccess) ncclCommDestroy(std::exchange(comm_, nullptr));
}

std::string NcclHandle::text_of(ncclResult_t result) const {
  const char* last = comm_ ? ncclGetLastError(comm_) : nullptr;
  const std::string more = last ? last : "";
  return join(
      ncclGetErrorString(result), more.empty() ? "" : join(" (", more, ")"),
      more.find("uplicate GPU") == std::string::npos ? "" : "; ranks that share a GPU need parallel.transport = mpi");
}

void NcclHandle::settle(const std::string& what) {
  const Stopwatch watch;
  for (;;) {
    ncclResult_t state = ncclSuccess;
    {
      const std::lock_guard lock(mutex_);
      if (!comm_) break;
      const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
      if (asked != ncclSuccess) state = asked;
      SB_CHECK(state == ncclSuccess || state == ncclInProgress, Comm, "NCCL: ", what, " on rank ", rank_, " of ", size_,
               ": ", text_of(state));
    }
    if (state == ncclSuccess) return;
    watch_.check();  // something else went wrong meanwhile
    SB_CHECK(watch.elapsed_ms() < watch_.timeout_s() * 1e3, Comm, "NCCL: ", what, " on rank ", rank_, " of ", size_,
             " has not ended after ", watch_.timeout_s(),
             " s (parallel.nccl_timeout_s); a rank is missing or cannot be reached (NCCL_DEBUG=INFO tells more)");
    std::this_thread::sleep_for(kBetweenPolls);
  }
  watch_.check();  // aborted: says why
  fail(ErrorKind::Comm, "NCCL: ", what, " on rank ", rank_, ": the communicator was aborted");
}

void NcclHandle::group(const std::string& what, const std::function<ncclResult_t(ncclComm_t)>& calls) {
  watch_.check();
  {
    const std::lock_guard lock(mutex_);
    SB_CHECK(comm_, Comm, "NCCL: ", what, " on rank ", rank_, ": the communicator was aborted");
    ncclResult_t first = ncclGroupStart();
    if (first == ncclSuccess) {
      const ncclResult_t asked = calls(comm_), queued = ncclGroupEnd();
      first = asked != ncclSuccess && asked != ncclInProgress ? asked : queued;
    }
    SB_CHECK(first == ncclSuccess || first == ncclInProgress, Comm, "NCCL: ", what, " on rank ", rank_, " of ", size_,
             ": ", text_of(first));
  }
  settle(what);
}

std::string NcclHandle::error_if_free() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  return lock ? state_text() : "";
}

std::string NcclHandle::error() {
  const std::lock_guard lock(mutex_);
  return state_text();
}

std::string NcclHandle::state_text() const {
  if (!comm_) return "";
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  if (asked != ncclSuccess) state = asked;
  if (state == ncclSuccess || state == ncclInProgress) return "";
  return join("NCCL: on rank ", rank_, " of ", size_, ": ", text_of(state));
}

void NcclHandle::abort() {
  const std::lock_guard lock(mutex_);
  if (comm_) ncclCommAbort(comm_);
  comm_ = nullptr;
}

}  // namespace smartbird
