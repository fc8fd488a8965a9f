// Loopback: the one piece is copied.
#include "comm/self_comm.h"

namespace smartbird {

std::unique_ptr<Communicator> SelfComm::split(int /*color*/, int /*key*/) { return std::make_unique<SelfComm>(); }

Pending SelfComm::start_exchange(const char* what, DType /*type*/, const std::byte* send,
                                 std::span<const Piece> send_pieces, std::byte* recv,
                                 std::span<const Piece> recv_pieces) {
  copy_own_piece(what, send, send_pieces, recv, recv_pieces);
  return {};
}

}  // namespace smartbird
