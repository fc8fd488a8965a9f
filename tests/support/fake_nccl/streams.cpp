// Streams and events. The computation's stream is the null one: what it does is done at once, so that waiting on it blocks.
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "tests/support/fake_nccl/state.h"

namespace fake = smartbird::fake_nccl;
using fake::Operations;

struct CUstream_st {
  int number = 0;
  Operations operations;  // not seen to be done
  int64_t follows = -1;   // the number of launches when the computation that it waits for was recorded
};

struct CUevent_st {
  Operations operations;
  int64_t launches = 0;
};

namespace smartbird::fake_nccl {
namespace {

std::set<cudaStream_t>& streams() {
  static std::set<cudaStream_t> all;
  return all;
}

std::set<cudaEvent_t>& events() {
  static std::set<cudaEvent_t> all;
  return all;
}

int64_t launches = 0;
bool ahead = false;
Operations computation;  // what the computation's stream waits for, where the host runs ahead

bool ended(const std::shared_ptr<Operation>& operation) {
  return operation->arrived || !operation->comm->alive || operation->comm->error != ncclSuccess;
}

bool all_ended(const Operations& operations) { return std::all_of(operations.begin(), operations.end(), ended); }

// Until all have arrived, or their communicator has an error; without the lock between looks, so that others may abort.
void await(const Operations& operations) {
  for (;; sched_yield()) {
    const std::lock_guard guard(lock());
    progress();
    if (all_ended(operations)) return publish(operations);
  }
}

}  // namespace

Lock& lock() {
  static Lock one;
  return one;
}

std::function<bool(const void*)>& is_host_memory() {
  static std::function<bool(const void*)> is = [](const void*) { return false; };
  return is;
}

bool& computes_here() {
  thread_local bool computes = false;
  return computes;
}

void check_stream(ncclComm_t comm, cudaStream_t stream) {
  if (stream == nullptr)
    return fail(comm, ncclInvalidUsage, "an operation on the default stream, which everything waits for");
  if (!streams().contains(stream)) return fail(comm, ncclInvalidUsage, "an operation on a stream that does not exist");
  if (comm->stream != nullptr && comm->stream != stream && !comm->operations.empty())
    return fail(comm, ncclInvalidUsage, "operations of one communicator on two streams at once");
  if (stream->follows != launches)
    return fail(comm, ncclInvalidUsage,
                "an operation that does not follow an event of the computation since the last one");
  comm->stream = stream;
}

int number_of(cudaStream_t stream) { return stream->number; }

int& misuses() {
  static int count = 0;
  return count;
}

void run_ahead(bool on) { ahead = on; }

void push(cudaStream_t stream, std::shared_ptr<Operation> operation) {
  std::erase_if(stream->operations, [](const auto& old) { return old->done || !old->comm->alive; });
  stream->operations.push_back(std::move(operation));
}

void stream_launched() { ++launches; }

}  // namespace smartbird::fake_nccl

using Guard = std::lock_guard<fake::Lock>;

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* at) {
  const Guard guard(fake::lock());
  attributes->type = fake::is_host_memory()(at) ? cudaMemoryTypeUnregistered : cudaMemoryTypeDevice;
  return cudaSuccess;
}

// As the real one does: what a query answered stays until somebody asks.
static thread_local cudaError_t last_error = cudaSuccess;
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  const Guard guard(fake::lock());
  if (fake::is_host_memory()(kind == cudaMemcpyDeviceToHost ? from : to)) return cudaErrorInvalidValue;
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  fake::computes_here() = true;
  const Guard guard(fake::lock());
  static int made = 0;
  *stream = new CUstream_st;
  (*stream)->number = made++;
  fake::streams().insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Guard guard(fake::lock());
  if (fake::streams().erase(stream) == 0) return cudaErrorInvalidResourceHandle;
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  fake::computes_here() = true;
  Operations before;
  {
    const Guard guard(fake::lock());
    if (!fake::events().contains(event) || (stream && !fake::streams().contains(stream)))
      return cudaErrorInvalidResourceHandle;
    before = event->operations;
    if (stream) {
      stream->follows = std::max(stream->follows, event->launches);
      stream->operations.insert(stream->operations.end(), before.begin(), before.end());
      return cudaSuccess;
    }
  }
  if (fake::ahead)
    fake::computation.insert(fake::computation.end(), before.begin(), before.end());
  else
    fake::await(before);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  Operations before;
  {
    const Guard guard(fake::lock());
    if (stream && !fake::streams().contains(stream)) return cudaErrorInvalidResourceHandle;
    before = stream ? stream->operations : std::exchange(fake::computation, {});
  }
  fake::await(before);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const Guard guard(fake::lock());
  *event = new CUevent_st;
  fake::events().insert(*event);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Guard guard(fake::lock());
  if (fake::events().erase(event) == 0) return cudaErrorInvalidResourceHandle;
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  fake::computes_here() = true;
  const Guard guard(fake::lock());
  if (!fake::events().contains(event) || (stream && !fake::streams().contains(stream)))
    return cudaErrorInvalidResourceHandle;
  event->operations = stream ? stream->operations : Operations{};
  event->launches = stream ? -1 : fake::launches;
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Guard guard(fake::lock());
  if (!fake::events().contains(event)) return cudaErrorInvalidResourceHandle;
  fake::progress();
  if (!fake::all_ended(event->operations)) return last_error = cudaErrorNotReady;
  if (fake::computes_here() && !fake::ahead) fake::publish(event->operations);
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorNotReady: return "device not ready";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    default: return "another error";
  }
}
