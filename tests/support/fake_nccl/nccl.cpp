// The calls of NCCL on a communicator: groups, errors, the end.
#include <algorithm>
#include <cstdio>

#include "core/error.h"
#include "tests/support/fake_nccl/state.h"

namespace smartbird::fake_nccl {

void progress_operations(ncclComm_t comm);
void progress_start(ncclComm_t comm);

namespace {

// How often the host has to ask before what it handed over is queued.
constexpr int kLooks = 2;

struct Group {
  int depth = 0;
  Operations operations;
};

Group& group() {
  static thread_local Group of_this_thread;
  return of_this_thread;
}

std::set<ncclComm_t>& gone() {
  static std::set<ncclComm_t> all;
  return all;
}

// Nullptr with a word to stderr where the handle is none, or no longer one.
bool usable(ncclComm_t comm, const char* call) {
  if (communicators().contains(comm)) return true;
  std::fprintf(stderr, "stand-in NCCL: %s with a communicator that %s\n", call,
               gone().contains(comm) ? "was destroyed" : "does not exist");
  ++misuses();
  return false;
}

ncclResult_t launch_group(Group& of) {
  bool launched = false;
  ncclResult_t result = ncclSuccess;
  for (const auto& operation : of.operations) {
    ncclComm_t comm = operation->comm;
    if (comm->error != ncclSuccess) {
      result = comm->error;
      continue;
    }
    comm->queued.push_back(operation);
    comm->looks = kLooks;
    launched = true;
  }
  of.operations.clear();
  if (launched) stream_launched();
  return launched && result == ncclSuccess ? ncclInProgress : result;
}

bool meet(const std::byte* a, int64_t a_bytes, const std::byte* b, int64_t b_bytes) {
  return a_bytes > 0 && b_bytes > 0 && a < b + b_bytes && b < a + a_bytes;
}

bool awaits_nobody(const Operation& o, const Operations& under_way) {
  return std::any_of(under_way.begin(), under_way.end(), [&](const auto& other) {
    return meet(o.send, o.send_bytes, other->recv, other->recv_bytes) ||
           meet(o.recv, o.recv_bytes, other->recv, other->recv_bytes);
  });
}

void look(ncclComm_t comm) {
  if (comm->looks == 0 || !computes_here() || --comm->looks > 0) return;
  for (const auto& operation : comm->queued) {
    push(operation->stream, operation);
    comm->operations.push_back(operation);
    launch(*operation);
  }
  comm->queued.clear();
}

ncclResult_t hand_over(const char* call, Operation operation, cudaStream_t stream) {
  const std::lock_guard guard(lock());
  ncclComm_t comm = operation.comm;
  if (!usable(comm, call)) return ncclInvalidArgument;
  if (comm->error == ncclInProgress) fail(comm, ncclInvalidUsage, join(call, " before the communicator is ready"));
  if (comm->looks > 0) fail(comm, ncclInvalidArgument, join(call, " while another call is in progress"));
  if (comm->ending) fail(comm, ncclInvalidUsage, join(call, " after ncclCommFinalize"));
  if (operation.header.root < 0 || operation.header.root >= comm->size)
    fail(comm, ncclInvalidArgument, join(call, " names rank ", operation.header.root, " of ", comm->size));
  if ((operation.send_bytes > 0 && !operation.send) || (operation.recv_bytes > 0 && !operation.recv))
    fail(comm, ncclInvalidArgument, join(call, " with a null buffer"));
  if (comm->error == ncclSuccess) check_stream(comm, stream);
  if (comm->error != ncclSuccess) return comm->error;
  if (awaits_nobody(operation, comm->operations) || awaits_nobody(operation, group().operations))
    fail(comm, ncclInvalidUsage,
         join(text_of(operation.header), " uses a buffer that is being received into, and nobody waited"));
  if (comm->error != ncclSuccess) return comm->error;
  operation.stream = stream;
  const auto kept = std::make_shared<Operation>(std::move(operation));
  group().operations.push_back(kept);
  return group().depth > 0 ? ncclSuccess : launch_group(group());
}

Operation operation_of(ncclComm_t comm, Call call, const void* send, int64_t send_count, void* recv, int64_t recv_count,
                       Header header) {
  Operation o;
  const int64_t size = size_of(static_cast<ncclDataType_t>(header.type));
  header.call = call;
  o.comm = comm, o.header = header;
  o.send = static_cast<const std::byte*>(send), o.send_bytes = send_count * size;
  o.recv = static_cast<std::byte*>(recv), o.recv_bytes = recv_count * size;
  return o;
}

}  // namespace

std::set<ncclComm_t>& communicators() {
  static std::set<ncclComm_t> all;
  return all;
}

void fail(ncclComm_t comm, ncclResult_t code, const std::string& text) {
  if (comm->error != ncclSuccess && comm->error != ncclInProgress) return;
  comm->error = code, comm->text = text;
}

void progress() {
  if (!computes_here()) return;
  for (ncclComm_t comm : communicators()) {
    progress_start(comm);
    if (comm->error == ncclSuccess) progress_operations(comm);
  }
}

}  // namespace smartbird::fake_nccl

using namespace smartbird::fake_nccl;
using Guard = std::lock_guard<Lock>;

ncclResult_t ncclGetVersion(int* version) { return *version = 22809, ncclSuccess; }

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const Guard guard(lock());
  if (!usable(comm, "ncclCommGetAsyncError")) return ncclInvalidArgument;
  look(comm);
  progress();
  *error = comm->state();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const Guard guard(lock());
  if (!usable(comm, "ncclCommFinalize")) return ncclInvalidArgument;
  if (comm->looks > 0) fail(comm, ncclInvalidArgument, "ncclCommFinalize while another call is in progress");
  comm->ending = true, comm->looks = kLooks;
  progress();
  return comm->state();
}

static ncclResult_t end(ncclComm_t comm, const char* call) {
  const Guard guard(lock());
  if (!usable(comm, call)) return ncclInvalidArgument;
  communicators().erase(comm);
  gone().insert(comm);  // kept, so that a later use is seen
  comm->alive = false;
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const Guard guard(lock());
  if (communicators().contains(comm) && (!comm->ending || comm->looks > 0)) {
    std::fprintf(stderr, "stand-in NCCL: ncclCommDestroy before ncclCommFinalize has ended\n");
    ++misuses();
  }
  return end(comm, "ncclCommDestroy");
}
ncclResult_t ncclCommAbort(ncclComm_t comm) { return end(comm, "ncclCommAbort"); }

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess: return "no error";
    case ncclInProgress: return "in progress";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    default: return "another error";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  const Guard guard(lock());
  return communicators().contains(comm) ? comm->text.c_str() : "";
}

ncclResult_t ncclGroupStart() {
  computes_here() = true;
  return ++group().depth, ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  const Guard guard(lock());
  if (group().depth == 0) {
    std::fprintf(stderr, "stand-in NCCL: ncclGroupEnd without ncclGroupStart\n");
    return ncclInvalidUsage;
  }
  return --group().depth > 0 ? ncclSuccess : launch_group(group());
}

ncclResult_t ncclSend(const void* send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  const int64_t n = static_cast<int64_t>(count);
  return hand_over("ncclSend",
                   operation_of(comm, Call::SendReceive, send, n, nullptr, 0, {.type = type, .root = peer, .count = n}),
                   stream);
}

ncclResult_t ncclRecv(void* recv, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  const int64_t n = static_cast<int64_t>(count);
  return hand_over("ncclRecv",
                   operation_of(comm, Call::SendReceive, nullptr, 0, recv, n, {.type = type, .root = peer, .count = n}),
                   stream);
}

ncclResult_t ncclAllGather(const void* send, void* recv, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  const int64_t n = static_cast<int64_t>(count);
  return hand_over("ncclAllGather",
                   operation_of(comm, Call::AllGather, send, n, recv, n * comm->size, {.type = type, .count = n}),
                   stream);
}

ncclResult_t ncclReduceScatter(const void* send, void* recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream) {
  const int64_t n = static_cast<int64_t>(count);
  return hand_over(
      "ncclReduceScatter",
      operation_of(comm, Call::ReduceScatter, send, n * comm->size, recv, n, {.type = type, .op = op, .count = n}),
      stream);
}

ncclResult_t ncclReduce(const void* send, void* recv, size_t count, ncclDataType_t type, ncclRedOp_t op, int root,
                        ncclComm_t comm, cudaStream_t stream) {
  const int64_t n = static_cast<int64_t>(count);
  return hand_over("ncclReduce",
                   operation_of(comm, Call::Reduce, send, n, recv, comm->rank == root ? n : 0,
                                {.type = type, .op = op, .root = root, .count = n}),
                   stream);
}

ncclResult_t ncclAllReduce(const void* send, void* recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  const int64_t n = static_cast<int64_t>(count);
  return hand_over("ncclAllReduce",
                   operation_of(comm, Call::AllReduce, send, n, recv, n, {.type = type, .op = op, .count = n}), stream);
}

ncclResult_t ncclBroadcast(const void* send, void* recv, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  const int64_t n = static_cast<int64_t>(count);
  return hand_over("ncclBroadcast",
                   operation_of(comm, Call::Broadcast, send, comm->rank == root ? n : 0, recv, n,
                                {.type = type, .root = root, .count = n}),
                   stream);
}
