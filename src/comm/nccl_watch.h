// What looks after NCCL from a thread of its own, because NCCL has no deadline and the host may be blocked in the very exchange
// that never ends. The first error that a communicator reports, or the first exchange that has not ended in time, aborts
// every communicator, which frees GPU and host; from then on check() throws what happened (ErrorKind::Comm). If the host
// does not come to check() within the grace after that, last_resort gets the sentence and is to end the process.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace smartbird {

class NcclHandle;

struct NcclLimits {
  double timeout_s = 600, grace_s = 20;
};

// An exchange on its way: ended when `done` was recorded and has happened.
struct NcclFlight {
  explicit NcclFlight(std::string text);
  ~NcclFlight();
  NcclFlight(const NcclFlight&) = delete;
  NcclFlight& operator=(const NcclFlight&) = delete;

  std::string text;  // the operation, its number, the rank
  cudaEvent_t done = nullptr;
  std::atomic<bool> queued = false;  // done was recorded
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
  int late_looks = 0;  // in a row; one may be that of a process that was stopped and goes on
};

class NcclWatch {
 public:
  using LastResort = std::function<void(const std::string&)>;
  NcclWatch(NcclLimits limits, LastResort last_resort);
  ~NcclWatch();
  NcclWatch(const NcclWatch&) = delete;
  NcclWatch& operator=(const NcclWatch&) = delete;

  [[nodiscard]] double timeout_s() const { return limits_.timeout_s; }
  void add(const std::shared_ptr<NcclHandle>& handle);
  void add(const std::shared_ptr<NcclFlight>& flight);
  // Throws what went wrong first, if anything did.
  void check();
  // Remembers `text` as what went wrong, unless something did before, aborts every communicator and throws.
  [[noreturn]] void fail_all(const std::string& text);

 private:
  void run();
  void look();
  void note_failure(const std::string& text);
  void abort_all();

  const NcclLimits limits_;
  const LastResort last_resort_;
  const int device_;  // that of the thread that made it
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::weak_ptr<NcclHandle>> handles_;
  std::vector<std::shared_ptr<NcclFlight>> flights_;
  std::string failure_;
  bool told_ = false, stop_ = false;
  std::thread thread_;
};

}  // namespace smartbird
