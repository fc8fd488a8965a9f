// Copies around the collectives of the group over host memory.
#include "comm/cuda_staged_comm.h"

#include <algorithm>

#include "comm/cuda_check.h"

namespace smartbird {
namespace {

template <class Pieces>
int64_t bytes_of(const Pieces& pieces) {
  int64_t bytes = 0;
  for (const auto& piece : pieces) bytes = std::max(bytes, piece.offset_bytes + piece.bytes);
  return bytes;
}

}  // namespace

// Host memory that is copied to or from the GPU in the order of the computation.
class StagedComm::Buffer {
 public:
  Buffer(int64_t bytes, void* stream)
      : memory_(std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(bytes))),
        bytes_(static_cast<size_t>(bytes)),
        stream_(static_cast<cudaStream_t>(stream)) {}
  [[nodiscard]] std::byte* data() const { return memory_.get(); }
  void copy_from(const void* there) const { copy(data(), there, cudaMemcpyDeviceToHost); }
  void copy_to(void* there) const { copy(there, data(), cudaMemcpyHostToDevice); }

 private:
  void copy(void* to, const void* from, cudaMemcpyKind kind) const {
    if (bytes_ == 0) return;
    check_cuda(cudaMemcpyAsync(to, from, bytes_, kind, stream_), "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }
  std::unique_ptr<std::byte[]> memory_;
  size_t bytes_;
  cudaStream_t stream_;
};

StagedComm::StagedComm(std::unique_ptr<Communicator> host, ComputeStream compute)
    : Communicator(host->rank(), host->size()), host_(std::move(host)), compute_(std::move(compute)) {}

std::unique_ptr<Communicator> StagedComm::split(int color, int key) {
  return std::make_unique<StagedComm>(host_->split(color, key), compute_);
}

std::shared_ptr<StagedComm::Buffer> StagedComm::sent(const std::byte* from, int64_t bytes) const {
  auto out = std::make_shared<Buffer>(bytes, compute_());
  out->copy_from(from);
  return out;
}

Pending StagedComm::back(Pending arriving, std::shared_ptr<Buffer> here, std::byte* there,
                         std::shared_ptr<Buffer> before) const {
  struct Arrival {
    Pending pending;
    std::shared_ptr<Buffer> here, before;  // empty once it is copied
  };
  const auto arrival = std::make_shared<Arrival>(std::move(arriving), std::move(here), std::move(before));
  const auto finish = [arrival, there] {
    arrival->pending.wait();
    if (arrival->here) arrival->here->copy_to(there);
    arrival->here.reset(), arrival->before.reset();
  };
  return Pending(finish, [arrival, finish] {
    if (!arrival->pending.arrived()) return false;
    finish();
    return true;
  });
}

Pending StagedComm::start_exchange(const char* what, DType type, const std::byte* send,
                                   std::span<const Piece> send_pieces, std::byte* recv,
                                   std::span<const Piece> recv_pieces) {
  const bool in_place = send == recv;  // what is not received keeps what is there
  const auto from =
      sent(send, in_place ? std::max(bytes_of(send_pieces), bytes_of(recv_pieces)) : bytes_of(send_pieces));
  const auto to = in_place ? from : std::make_shared<Buffer>(bytes_of(recv_pieces), compute_());
  return back(host_->start_exchange(what, type, from->data(), send_pieces, to->data(), recv_pieces), to, recv, from);
}

Pending StagedComm::start_gather(const char* what, DType type, const std::byte* send, std::byte* recv,
                                 std::span<const Piece> recv_pieces) {
  const auto from = sent(send, recv_pieces[static_cast<size_t>(rank())].bytes),
             to = std::make_shared<Buffer>(bytes_of(recv_pieces), compute_());
  return back(host_->start_gather(what, type, from->data(), to->data(), recv_pieces), to, recv, from);
}

Pending StagedComm::start_reduce_scatter(const char* what, DType type, const std::byte* send,
                                         std::span<const Piece> send_pieces, std::byte* recv, ReduceOp op) {
  const auto from = sent(send, bytes_of(send_pieces)),
             to = std::make_shared<Buffer>(send_pieces[static_cast<size_t>(rank())].bytes, compute_());
  return back(host_->start_reduce_scatter(what, type, from->data(), send_pieces, to->data(), op), to, recv, from);
}

Pending StagedComm::start_all_reduce(const char* what, DType type, std::byte* data, int64_t count, ReduceOp op) {
  const auto here = sent(data, count * size_bytes(type));
  return back(host_->start_all_reduce(what, type, here->data(), count, op), here, data);
}

Pending StagedComm::start_broadcast(const char* what, DType type, std::byte* data, int64_t bytes, int root) {
  const auto here = sent(data, bytes);
  return back(host_->start_broadcast(what, type, here->data(), bytes, root), here, data);
}

}  // namespace smartbird
