// run.check_comm: a group that, before each exchange, has every pair of ranks compare what they are about to do: the number
// of exchanges so far, the operation, the element type, the kind of collective, the bytes between the two. The first difference is an
// ErrorKind::Comm that names it with both ranks, on both, before data is mixed up. A rank that never comes is waited for as
// the group behind waits. The comparison is an exchange of 96 bytes with every rank over a group that reaches host memory: the
// one behind, or another one of the same ranks; its bytes are not counted.
#pragma once

#include "comm/communicator.h"

namespace smartbird {

class CheckedComm final : public Communicator {
 public:
  explicit CheckedComm(std::unique_ptr<Communicator> inner);
  // Over device memory: compares over the same ranks' `host`.
  CheckedComm(std::unique_ptr<Communicator> inner, std::unique_ptr<Communicator> host);
  void barrier() override;
  void finish() override { inner_->finish(); }
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
  [[nodiscard]] std::vector<Piece> to_each(int64_t bytes) const;
  void compare(const char* kind, const char* what, DType type, std::span<const Piece> send_pieces,
               std::span<const Piece> recv_pieces);

  [[nodiscard]] Communicator& host() { return host_ ? *host_ : *inner_; }

  std::unique_ptr<Communicator> inner_, host_;
  int64_t exchanges_ = 0;
};

}  // namespace smartbird
