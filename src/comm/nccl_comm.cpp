// Collectives as groups of NCCL's calls.
#include "comm/nccl_comm.h"

#include <algorithm>
#include <exception>

#include "comm/cuda_check.h"

namespace smartbird {
namespace {

ncclDataType_t nccl_type(DType type) {
  switch (type) {
    case DType::u8: return ncclUint8;
    case DType::i32: return ncclInt32;
    case DType::i64: return ncclInt64;
    case DType::f32: return ncclFloat32;
    case DType::f64: return ncclFloat64;
  }
  return ncclUint8;
}

ncclRedOp_t nccl_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::Sum: return ncclSum;
    case ReduceOp::Max: return ncclMax;
    case ReduceOp::Min: return ncclMin;
  }
  return ncclSum;
}

// The first result that is neither success nor in progress; later calls are not made.
class FirstError {
 public:
  template <class F>
  void operator()(F&& call) {
    if (first_ == ncclSuccess || first_ == ncclInProgress) first_ = call();
  }
  [[nodiscard]] ncclResult_t first() const { return first_; }

 private:
  ncclResult_t first_ = ncclSuccess;
};

template <class Pieces>
bool all_equal(const Pieces& pieces) {
  return std::all_of(pieces.begin(), pieces.end(), [&](const auto& p) { return p.bytes == pieces.front().bytes; });
}

size_t bytes_of(int64_t bytes) { return static_cast<size_t>(bytes); }

}  // namespace

NcclComm::NcclComm(std::unique_ptr<Communicator> host, std::shared_ptr<NcclLane> lane)
    : Communicator(host->rank(), host->size()),
      host_(std::move(host)),
      lane_(std::move(lane)),
      handle_(std::make_shared<NcclHandle>(*host_, lane_->watch())) {
  lane_->watch().add(handle_);
}

NcclComm::~NcclComm() {
  // Ending waits for all ranks; while an error unwinds the stack they may never come.
  if (std::uncaught_exceptions() > 0) return;
  try {
    handle_->end();
  } catch (...) {  // a destructor cannot report it; the peers' deadlines end them in turn
  }
}

std::unique_ptr<Communicator> NcclComm::split(int color, int key) {
  return std::make_unique<NcclComm>(host_->split(color, key), lane_);
}

Pending NcclComm::queue(const char* what, const void* send, const void* recv, const GroupCalls& calls) {
  check_device_memory(what, send);
  check_device_memory(what, recv);
  const std::string text = join(what, " (exchange ", number_++, " of rank ", rank(), " of ", size(), ")");
  lane_->follow_computation();
  const std::shared_ptr<NcclFlight> flight = lane_->expect(text);
  try {
    handle_->group(text, [&](ncclComm_t comm) { return calls(comm, lane_->stream()); });
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Comm) throw;
    lane_->watch().fail_all(error.what());
  }
  lane_->mark(*flight);
  return Pending(
      [lane = lane_, flight, handle = handle_] {
        lane->watch().check();
        lane->computation_follows(*flight);
        if (const std::string error = handle->error(); !error.empty()) lane->watch().fail_all(error);
        lane->watch().check();
      },
      [flight] { return state_of(flight->done) == cudaSuccess; });
}

Pending NcclComm::start_exchange(const char* what, DType /*type*/, const std::byte* send,
                                 std::span<const Piece> send_pieces, std::byte* recv,
                                 std::span<const Piece> recv_pieces) {
  const size_t me = static_cast<size_t>(rank());
  check_own_piece(what, send_pieces, recv_pieces);
  return queue(what, send, recv, [&](ncclComm_t comm, cudaStream_t stream) {
    FirstError nccl;
    for (size_t r = 0; r < send_pieces.size(); ++r) {
      const Piece from = recv_pieces[r], to = send_pieces[r];
      const int peer = static_cast<int>(r);
      if (r == me && send + to.offset_bytes == recv + from.offset_bytes) continue;
      if (to.bytes > 0)
        nccl([&] { return ncclSend(send + to.offset_bytes, bytes_of(to.bytes), ncclUint8, peer, comm, stream); });
      if (from.bytes > 0)
        nccl([&] { return ncclRecv(recv + from.offset_bytes, bytes_of(from.bytes), ncclUint8, peer, comm, stream); });
    }
    return nccl.first();
  });
}

Pending NcclComm::start_gather(const char* what, DType type, const std::byte* send, std::byte* recv,
                               std::span<const Piece> recv_pieces) {
  return queue(what, send, recv, [&](ncclComm_t comm, cudaStream_t stream) {
    FirstError nccl;
    const int64_t bytes = recv_pieces.front().bytes;
    if (all_equal(recv_pieces)) {
      const size_t count = bytes_of(bytes / size_bytes(type));
      if (count > 0) nccl([&] { return ncclAllGather(send, recv, count, nccl_type(type), comm, stream); });
      return nccl.first();
    }
    for (size_t r = 0; r < recv_pieces.size(); ++r) {
      std::byte* to = recv + recv_pieces[r].offset_bytes;
      const std::byte* from = r == static_cast<size_t>(rank()) ? send : to;
      const size_t size = bytes_of(recv_pieces[r].bytes);
      if (size > 0) nccl([&] { return ncclBroadcast(from, to, size, ncclUint8, static_cast<int>(r), comm, stream); });
    }
    return nccl.first();
  });
}

Pending NcclComm::start_reduce_scatter(const char* what, DType type, const std::byte* send,
                                       std::span<const Piece> send_pieces, std::byte* recv, ReduceOp op) {
  return queue(what, send, recv, [&](ncclComm_t comm, cudaStream_t stream) {
    FirstError nccl;
    for (size_t r = 0; r < send_pieces.size(); ++r) {
      const size_t count = bytes_of(send_pieces[r].bytes / size_bytes(type));
      if (all_equal(send_pieces)) {
        if (count > 0)
          nccl([&] { return ncclReduceScatter(send, recv, count, nccl_type(type), nccl_op(op), comm, stream); });
        break;
      }
      const std::byte* from = send + send_pieces[r].offset_bytes;
      if (count > 0)
        nccl([&] {
          void* to = r == static_cast<size_t>(rank()) ? recv : nullptr;
          return ncclReduce(from, to, count, nccl_type(type), nccl_op(op), static_cast<int>(r), comm, stream);
        });
    }
    return nccl.first();
  });
}

Pending NcclComm::start_all_reduce(const char* what, DType type, std::byte* data, int64_t count, ReduceOp op) {
  return queue(what, data, data, [&](ncclComm_t comm, cudaStream_t stream) {
    if (count == 0) return ncclSuccess;
    return ncclAllReduce(data, data, bytes_of(count), nccl_type(type), nccl_op(op), comm, stream);
  });
}

Pending NcclComm::start_broadcast(const char* what, DType /*type*/, std::byte* data, int64_t bytes, int root) {
  return queue(what, data, data, [&](ncclComm_t comm, cudaStream_t stream) {
    if (bytes == 0) return ncclSuccess;
    return ncclBroadcast(data, data, bytes_of(bytes), ncclUint8, root, comm, stream);
  });
}

}  // namespace smartbird
