// NcclComm: a group of ranks over the memory of their GPUs. Movement is grouped sends and receives, or NCCL's own call where
// it has one; sums are NCCL's own, the same bits on every rank, not those of rank order; its Max and Min may lose a
// NaN. Counts are 64-bit. Collectives are queued on the lane's stream behind what was computed; wait() orders the computation
// behind them and does not block the host, so a buffer that was allocated on the stream of the computation may be freed
// after wait(). Its exchange times are therefore those of the host. barrier() is that of the ranks' group over
// host memory. Errors: NcclHandle's and NcclWatch's.
#pragma once

#include <memory>

#include "comm/communicator.h"
#include "comm/nccl_handle.h"
#include "comm/nccl_lane.h"

namespace smartbird {

class NcclComm final : public Communicator {
 public:
  // Collective over `host`, the same ranks over host memory.
  NcclComm(std::unique_ptr<Communicator> host, std::shared_ptr<NcclLane> lane);
  ~NcclComm() override;
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  void barrier() override { host_->barrier(); }
  void finish() override { lane_->finish(); }
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
  using GroupCalls = std::function<ncclResult_t(ncclComm_t, cudaStream_t)>;
  // send, recv: where the operation reads and writes.
  Pending queue(const char* what, const void* send, const void* recv, const GroupCalls& calls);

  std::unique_ptr<Communicator> host_;
  std::shared_ptr<NcclLane> lane_;
  std::shared_ptr<NcclHandle> handle_;
  int64_t number_ = 0;  // collectives so far
};

}  // namespace smartbird
