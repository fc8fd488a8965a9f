// What the NCCL groups of a process share: one stream for all their collectives, so that they run in the order of the program on
// every rank (two groups on two streams can wait for each other for ever), the order against the stream of the
// computation, and the watch.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <string>

#include "comm/nccl_groups.h"
#include "comm/nccl_watch.h"

namespace smartbird {

class NcclLane {
 public:
  NcclLane(NcclLimits limits, NcclWatch::LastResort last_resort, ComputeStream compute);
  ~NcclLane();
  NcclLane(const NcclLane&) = delete;
  NcclLane& operator=(const NcclLane&) = delete;

  [[nodiscard]] cudaStream_t stream() const { return stream_; }
  [[nodiscard]] NcclWatch& watch() { return watch_; }
  // What is queued on the lane from now on begins after what the computation has queued so far.
  void follow_computation();
  // Has the watch count from here on how long an exchange takes.
  [[nodiscard]] std::shared_ptr<NcclFlight> expect(const std::string& text);
  // Marks the end of what was queued on the lane as that of the flight.
  void mark(NcclFlight& flight);
  // What the computation queues from now on begins after the flight has ended. Does not block the host.
  void computation_follows(const NcclFlight& flight);
  // Blocks the host until the computation, and all exchanges that it awaits, have ended.
  void finish();

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t computed_ = nullptr;
  ComputeStream compute_;
  NcclWatch watch_;
};

}  // namespace smartbird
