// A look every tenth of a second.
#include "comm/nccl_watch.h"

#include <algorithm>

#include "comm/cuda_check.h"
#include "comm/nccl_handle.h"

namespace smartbird {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{100};

// Without a GPU the lane says so.
int current_device() {
  int device = 0;
  return cudaGetDevice(&device) == cudaSuccess ? device : 0;
}

}  // namespace

NcclFlight::NcclFlight(std::string about) : text(std::move(about)) {
  check_cuda(cudaEventCreateWithFlags(&done, cudaEventDisableTiming), "cudaEventCreateWithFlags");
}

NcclFlight::~NcclFlight() { cudaEventDestroy(done); }

NcclWatch::NcclWatch(NcclLimits limits, LastResort last_resort)
    : limits_(limits), last_resort_(std::move(last_resort)), device_(current_device()), thread_([this] { run(); }) {}

NcclWatch::~NcclWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void NcclWatch::add(const std::shared_ptr<NcclHandle>& handle) {
  const std::lock_guard lock(mutex_);
  std::erase_if(handles_, [](const auto& old) { return old.expired(); });
  handles_.push_back(handle);
}

void NcclWatch::add(const std::shared_ptr<NcclFlight>& flight) {
  const std::lock_guard lock(mutex_);
  flights_.push_back(flight);
}

void NcclWatch::check() {
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) return;
  told_ = true;
  wake_.notify_all();
  fail(ErrorKind::Comm, failure_);
}

void NcclWatch::fail_all(const std::string& text) {
  note_failure(text);
  abort_all();
  const std::lock_guard lock(mutex_);
  told_ = true;
  wake_.notify_all();
  fail(ErrorKind::Comm, failure_);
}

void NcclWatch::note_failure(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) failure_ = text;
}

void NcclWatch::abort_all() {
  std::vector<std::weak_ptr<NcclHandle>> handles;
  {
    const std::lock_guard lock(mutex_);
    handles = handles_;
  }
  for (const auto& weak : handles)
    if (const auto handle = weak.lock()) handle->abort();
}

// Without the lock where NCCL or CUDA is called: the host must be able to hand over new work meanwhile.
void NcclWatch::look() {
  std::vector<std::weak_ptr<NcclHandle>> handles;
  std::vector<std::shared_ptr<NcclFlight>> flights;
  {
    const std::lock_guard lock(mutex_);
    handles = handles_, flights = flights_;
  }
  std::string text;
  for (const auto& weak : handles) {
    const auto handle = weak.lock();
    if (handle && text.empty()) text = handle->error_if_free();
  }
  const auto now = std::chrono::steady_clock::now();
  std::vector<std::shared_ptr<NcclFlight>> ended;
  for (const auto& flight : flights) {
    const cudaError_t state = flight->queued ? state_of(flight->done) : cudaErrorNotReady;
    if (state == cudaSuccess) {
      ended.push_back(flight);
    } else if (text.empty() && state != cudaErrorNotReady) {
      text = join(flight->text, ": ", cudaGetErrorString(state));
    } else if (std::chrono::duration<double>(now - flight->began).count() > limits_.timeout_s &&
               ++flight->late_looks > 1 && text.empty()) {
      text = join(flight->text, " has not ended after ", limits_.timeout_s,
                  " s (parallel.nccl_timeout_s); a rank is lost, stuck, or in another exchange");
    }
  }
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(flights_,
                  [&](const auto& flight) { return std::find(ended.begin(), ended.end(), flight) != ended.end(); });
  }
  if (!text.empty()) note_failure(text);
}

void NcclWatch::run() {
  cudaSetDevice(device_);  // or asking about an event would open the first GPU too
  std::unique_lock lock(mutex_);
  while (!stop_ && failure_.empty()) {
    lock.unlock();
    look();
    lock.lock();
    if (failure_.empty()) wake_.wait_for(lock, kBetweenLooks, [this] { return stop_; });
  }
  if (stop_) return;
  // Aborting may hang in its turn; then the last resort is all that is left.
  bool aborted = false;
  lock.unlock();
  std::thread aborting([this, &aborted] {
    abort_all();
    const std::lock_guard guard(mutex_);
    aborted = true;
    wake_.notify_all();
  });
  lock.lock();
  const std::chrono::duration<double> grace(limits_.grace_s);
  const bool heard = wake_.wait_for(lock, grace, [this] { return stop_ || told_; }) &&
                     wake_.wait_for(lock, grace, [&aborted] { return aborted; });
  const std::string text = failure_;
  lock.unlock();
  if (!heard && last_resort_) last_resort_(text);
  aborting.join();
}

}  // namespace smartbird
