// SelfComm: the group of one rank. Every collective is a copy from the send to the receive buffer, done at the start.
#pragma once

#include "comm/communicator.h"

namespace smartbird {

class SelfComm final : public Communicator {
 public:
  SelfComm() : Communicator(0, 1) {}
  void barrier() override {}
  [[nodiscard]] std::unique_ptr<Communicator> split(int color, int key) override;

 protected:
  Pending start_exchange(const char* what, DType type, const std::byte* send, std::span<const Piece> send_pieces,
                         std::byte* recv, std::span<const Piece> recv_pieces) override;
};

}  // namespace smartbird
