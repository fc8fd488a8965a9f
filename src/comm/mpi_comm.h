// MpiComm: a group of MPI processes, host memory. An exchange is Isend/Irecv pairs on a communicator of its own, tagged
// by the number of the collective; the own piece is copied; empty pieces send nothing; pieces above the chunk limit go
// in several messages. Errors (ErrorKind::Comm): what MPI reports, or a piece whose size is not the expected one.
#pragma once

// The C++ bindings of MPI 2, long removed from the standard, stay out of the translation unit.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include "comm/communicator.h"

namespace smartbird {

class MpiComm final : public Communicator {
 public:
  static constexpr int64_t kChunkBytes = int64_t{1} << 30;
  // Duplicates `parent`: collective. chunk_bytes, in [1, 2^31), is the same on all ranks.
  explicit MpiComm(MPI_Comm parent, int64_t chunk_bytes = kChunkBytes);
  ~MpiComm() override;
  MpiComm(const MpiComm&) = delete;
  MpiComm& operator=(const MpiComm&) = delete;

  void barrier() override;
  // color >= 0.
  [[nodiscard]] std::unique_ptr<Communicator> split(int color, int key) override;

 protected:
  Pending start_exchange(const char* what, DType type, const std::byte* send, std::span<const Piece> send_pieces,
                         std::byte* recv, std::span<const Piece> recv_pieces) override;

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  int64_t chunk_bytes_;
  int64_t sequence_ = 0;
};

}  // namespace smartbird
