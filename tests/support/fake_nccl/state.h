// A stand-in for NCCL, over MPI, whose device memory is this process's memory: what it keeps. It is stricter than the real one,
// which hangs or mixes data up: an operation's receive buffer is filled with 0xFF until somebody waits for it, buffers must
// not change while they are under way, ranks that do not agree are named with what each of them calls, an operation must follow
// an event of the computation, and sums run from the last rank to the first. An error stays with its communicator.
// MPI is called from the threads that hand over work, one at a time; others (the watch) see what it has brought.
#pragma once

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#include <nccl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/device_reach.h"

namespace smartbird::fake_nccl {

enum class Call : int32_t { SendReceive, AllGather, ReduceScatter, AllReduce, Reduce, Broadcast };

// What two ranks must agree about.
struct Header {
  Call call = Call::SendReceive;
  int32_t type = 0, op = 0, root = 0;
  int64_t count = 0;
  int32_t stream = 0, number = 0;  // how many messages between the two ranks came before on this stream of theirs
};

// A message: its header, then its bytes.
struct Message {
  int peer = 0;
  Header header;     // what is sent, or expected
  std::byte* bytes;  // sent from, or received into
  int64_t size = 0;
  Header got = {};
  bool header_there = false, posted = false, done = false;
  std::vector<MPI_Request> requests;
};

struct Operation {
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  Header header;
  const std::byte* send = nullptr;
  std::byte* recv = nullptr;
  int64_t send_bytes = 0, recv_bytes = 0;
  std::vector<std::byte> sent;              // what lay in the send buffer
  std::vector<std::vector<std::byte>> got;  // by rank
  std::vector<std::shared_ptr<Message>> outgoing, incoming;
  bool arrived = false, done = false;  // done: somebody waited, and the data appeared
};
using Operations = std::vector<std::shared_ptr<Operation>>;

std::string text_of(const Header& header);
int64_t size_of(ncclDataType_t type);

// Everything below is under this lock, and may reach the memory of the device.
class Lock {
 public:
  void lock() {
    mutex_.lock();
    testing::device_reach(true);
  }
  void unlock() {
    testing::device_reach(false);
    mutex_.unlock();
  }

 private:
  std::recursive_mutex mutex_;
};
Lock& lock();
bool& computes_here();                                    // this thread hands over work
void check_stream(ncclComm_t comm, cudaStream_t stream);  // makes it the communicator's error if it is not fit
void push(cudaStream_t stream, std::shared_ptr<Operation> operation);
int number_of(cudaStream_t stream);          // the first made is 0
int& misuses();                              // that no communicator could keep
void run_ahead(bool on);                     // waits on the computation's stream do not block the host
void stream_launched();                      // a group of operations was handed over
void launch(Operation& operation);           // copies what is sent, hides what is received, posts messages
void progress();                             // moves whatever can move; on the main thread only
void publish(const Operations& operations);  // what arrived appears in memory, for those that waited
void fail(ncclComm_t comm, ncclResult_t code, const std::string& text);
std::function<bool(const void*)>& is_host_memory();  // what a test says is not the device's
std::set<ncclComm_t>& communicators();               // those that were neither destroyed nor aborted

}  // namespace smartbird::fake_nccl

struct ncclComm {
  int rank = 0, size = 0, tag = 0;
  std::vector<int> world;  // the ranks in MPI_COMM_WORLD; empty until all have come
  ncclResult_t error = ncclInProgress;
  std::string text;
  bool alive = true, ending = false;
  cudaStream_t stream = nullptr;                                                     // that of the last operation
  std::vector<std::deque<std::shared_ptr<smartbird::fake_nccl::Message>>> incoming;  // by rank, in order
  std::vector<std::shared_ptr<smartbird::fake_nccl::Message>> outgoing;
  smartbird::fake_nccl::Operations operations;  // launched, not done
  // The start: every rank tells the one that made the id, which answers with the list of all.
  int maker = 0, start_tag = 0;
  MPI_Request starting = MPI_REQUEST_NULL;
  std::array<int, 2> hello{}, heard{};  // rank, size
  std::vector<int> gathered;            // on the maker: the world's rank of each rank that has come
  int come = 0;
  // Handed over, and not launched before the host has looked that often.
  smartbird::fake_nccl::Operations queued;
  int looks = 0;

  [[nodiscard]] ncclResult_t state() const {
    const bool all = std::all_of(operations.begin(), operations.end(), [](const auto& o) { return o->arrived; });
    return error == ncclSuccess && (looks > 0 || (ending && !all)) ? ncclInProgress : error;
  }
};
