// StagedComm: a group of ranks over the memory of their GPUs whose messages travel through host memory, so that several ranks may
// share one GPU. What is sent is copied to the host when the computation has formed it, what is received is copied back in
// wait(), or when arrived() finds it; copies block the host. Sums are those of the group over host memory. Errors: the host group's, and
// ErrorKind::Device for a copy that fails.
#pragma once

#include <memory>

#include "comm/communicator.h"
#include "comm/nccl_groups.h"

namespace smartbird {

class StagedComm final : public Communicator {
 public:
  StagedComm(std::unique_ptr<Communicator> host, ComputeStream compute);

  void barrier() override { host_->barrier(); }
  [[nodiscard]] std::unique_ptr<Communicator> split(int color, int key) override;

 protected:
  Pending start_exchange(const char* what, DType type, const std::byte* send, std::span<const Piece> send_pieces,
                         std::byte* recv, std::span<const Piece> recv_pieces) override;
  Pending start_gather(const char* what, DType type, const std::byte* send, std::byte* recv,
                       std::span<const Piece> recv_pieces) override;
  Pending start_reduce_scatter(const char* what, DType type, const std::byte* send, std::span<const Piece> send_pieces,
                               std::byte* recv, ReduceOp op) override;
  Pending start_all_reduce(const char* what, DType type, std::byte* data, int64_t count, ReduceOp op) override;
  Pending start_broadcast(const char* what, DType type, std::byte* data, int64_t bytes, int root) override;

 private:
  class Buffer;
  [[nodiscard]] std::shared_ptr<Buffer> sent(const std::byte* from, int64_t bytes) const;
  // What arrives in `here` goes to `there`; `before` lives until then.
  [[nodiscard]] Pending back(Pending arriving, std::shared_ptr<Buffer> here, std::byte* there,
                             std::shared_ptr<Buffer> before = {}) const;

  std::unique_ptr<Communicator> host_;
  ComputeStream compute_;
};

}  // namespace smartbird
