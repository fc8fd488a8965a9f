// Events between two streams.
#include "comm/nccl_lane.h"

#include "comm/cuda_check.h"

namespace smartbird {

NcclLane::NcclLane(NcclLimits limits, NcclWatch::LastResort last_resort, ComputeStream compute)
    : compute_(std::move(compute)), watch_(limits, std::move(last_resort)) {
  const cudaError_t first = cudaEventCreateWithFlags(&computed_, cudaEventDisableTiming);
  SB_CHECK(first == cudaSuccess, Device, "parallel.transport = nccl needs a GPU and its driver (",
           cudaGetErrorString(first), "); use mpi without one");
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}

NcclLane::~NcclLane() {
  if (stream_) cudaStreamDestroy(stream_);
  if (computed_) cudaEventDestroy(computed_);
}

void NcclLane::follow_computation() {
  check_cuda(cudaEventRecord(computed_, static_cast<cudaStream_t>(compute_())), "cudaEventRecord");
  check_cuda(cudaStreamWaitEvent(stream_, computed_, 0), "cudaStreamWaitEvent");
}

std::shared_ptr<NcclFlight> NcclLane::expect(const std::string& text) {
  auto flight = std::make_shared<NcclFlight>(text);
  watch_.add(flight);
  return flight;
}

void NcclLane::mark(NcclFlight& flight) {
  check_cuda(cudaEventRecord(flight.done, stream_), "cudaEventRecord");
  flight.queued = true;
}

void NcclLane::computation_follows(const NcclFlight& flight) {
  check_cuda(cudaStreamWaitEvent(static_cast<cudaStream_t>(compute_()), flight.done, 0), "cudaStreamWaitEvent");
}

void NcclLane::finish() {
  watch_.check();
  const cudaError_t ended = cudaStreamSynchronize(static_cast<cudaStream_t>(compute_()));
  watch_.check();
  check_cuda(ended, "cudaStreamSynchronize");
}

}  // namespace smartbird
