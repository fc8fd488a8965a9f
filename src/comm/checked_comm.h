// run.check_comm: a group that, before each exchange, has every pair of ranks compare what they are about to do: the number
// of exchanges so far, the operation, the element type, the bytes between the two. The first difference is an
// ErrorKind::Comm that names it with both ranks, on both, before data is mixed up. A rank that never comes is waited for as
// the group behind waits. The comparison is an exchange of 80 bytes with every rank; its bytes are not counted.
#pragma once

#include "comm/communicator.h"

namespace smartbird {

class CheckedComm final : public Communicator {
 public:
  explicit CheckedComm(std::unique_ptr<Communicator> inner);
  void barrier() override;
  [[nodiscard]] std::unique_ptr<Communicator> split(int color, int key) override;

 protected:
  Pending start_exchange(const char* what, DType type, const std::byte* send, std::span<const Piece> send_pieces,
                         std::byte* recv, std::span<const Piece> recv_pieces) override;

 private:
  void compare(const char* what, DType type, std::span<const Piece> send_pieces, std::span<const Piece> recv_pieces);

  std::unique_ptr<Communicator> inner_;
  int64_t exchanges_ = 0;
};

}  // namespace smartbird
