// Exchange by point-to-point messages.
#include "comm/mpi_comm.h"

#include <algorithm>
#include <array>
#include <exception>

#include "core/error.h"

namespace smartbird {
namespace {

constexpr int64_t kNumTags = 32000;  // below the 32767 that every MPI has

std::string error_text(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  return std::string(text.data(), static_cast<size_t>(length));
}

void check(int code, const std::string& what, const char* call, int rank) {
  SB_CHECK(code == MPI_SUCCESS, Comm, what, ": ", call, " on rank ", rank, ": ", error_text(code));
}

int rank_in(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

int size_of(MPI_Comm comm) {
  int size = 0;
  MPI_Comm_size(comm, &size);
  return size;
}

// The messages of one exchange: receives first, then sends.
struct Flight {
  struct Receive {
    int from, bytes;
  };
  std::string what;
  int rank = 0;
  std::vector<Receive> receives;
  std::vector<MPI_Request> requests;
  size_t done = 0;  // the first requests, whose messages have come or gone
  std::string error;

  // One by one, because Open MPI 4.1's MPI_Waitall does not return after a message that was too long. Every message is
  // waited for before the first error is thrown.
  void wait() {
    while (done < requests.size()) {
      MPI_Status status{};
      note(MPI_Wait(&requests[done], &status), status);
    }
    SB_CHECK(error.empty(), Comm, error);
  }

  bool arrived() {
    while (done < requests.size()) {
      MPI_Status status{};
      int there = 0;
      const int code = MPI_Test(&requests[done], &there, &status);
      if (code == MPI_SUCCESS && there == 0) return false;
      note(code, status);
    }
    return true;
  }

  void note(int code, const MPI_Status& status) {
    if (error.empty()) error = done < receives.size() ? receive_error(receives[done], code, status) : send_error(code);
    ++done;
  }

  [[nodiscard]] std::string send_error(int code) const {
    return code == MPI_SUCCESS ? "" : join(what, ": sending from rank ", rank, ": ", error_text(code));
  }

  [[nodiscard]] std::string receive_error(const Receive& expected, int code, const MPI_Status& status) const {
    int got_bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &got_bytes);
    if (code == MPI_SUCCESS && got_bytes == expected.bytes) return "";
    return join(what, ": rank ", rank, " expects ", expected.bytes, " bytes from rank ", expected.from, ": ",
                code == MPI_SUCCESS ? join("got ", got_bytes) : error_text(code));
  }
};

// Calls f(offset_bytes, bytes) for the messages that a piece travels in.
template <class F>
void for_chunks(int64_t offset_bytes, int64_t bytes, int64_t chunk_bytes, F&& f) {
  for (int64_t done = 0; done < bytes; done += chunk_bytes) {
    f(offset_bytes + done, static_cast<int>(std::min(chunk_bytes, bytes - done)));
  }
}

}  // namespace

MpiComm::MpiComm(MPI_Comm parent, int64_t chunk_bytes)
    : Communicator(rank_in(parent), size_of(parent)), chunk_bytes_(chunk_bytes) {
  SB_CHECK(chunk_bytes >= 1 && chunk_bytes < int64_t{1} << 31, Config, "MpiComm: chunk_bytes = ", chunk_bytes,
           " is not in [1, 2^31)");
  check(MPI_Comm_dup(parent, &comm_), "MpiComm", "MPI_Comm_dup", rank());
  check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MpiComm", "MPI_Comm_set_errhandler", rank());
}

MpiComm::~MpiComm() {
  // Freeing is collective: not after MPI has ended, and not while an error unwinds, when the peers may not come.
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0 && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
}

void MpiComm::barrier() { check(MPI_Barrier(comm_), "barrier", "MPI_Barrier", rank()); }

std::unique_ptr<Communicator> MpiComm::split(int color, int key) {
  SB_CHECK(color >= 0, Comm, "split: color = ", color, " is negative, on rank ", rank());
  MPI_Comm part = MPI_COMM_NULL;
  check(MPI_Comm_split(comm_, color, key, &part), "split", "MPI_Comm_split", rank());
  auto group = std::make_unique<MpiComm>(part, chunk_bytes_);
  MPI_Comm_free(&part);
  return group;
}

Pending MpiComm::start_exchange(const char* what, DType /*type*/, const std::byte* send,
                                std::span<const Piece> send_pieces, std::byte* recv,
                                std::span<const Piece> recv_pieces) {
  const int tag = static_cast<int>(sequence_++ % kNumTags);
  const auto flight = std::make_shared<Flight>();
  flight->what = what, flight->rank = rank();
  const auto request = [&]() { return &flight->requests.emplace_back(MPI_REQUEST_NULL); };
  copy_own_piece(what, send, send_pieces, recv, recv_pieces);
  // Start with the neighbour, so that not all ranks send to rank 0 first.
  for (int step = 1; step < size(); ++step) {
    const int from = (rank() + size() - step) % size();
    const Piece piece = recv_pieces[static_cast<size_t>(from)];
    for_chunks(piece.offset_bytes, piece.bytes, chunk_bytes_, [&](int64_t offset_bytes, int bytes) {
      flight->receives.push_back({from, bytes});
      check(MPI_Irecv(recv + offset_bytes, bytes, MPI_BYTE, from, tag, comm_, request()), what, "MPI_Irecv", rank());
    });
  }
  for (int step = 1; step < size(); ++step) {
    const int to = (rank() + step) % size();
    const Piece piece = send_pieces[static_cast<size_t>(to)];
    for_chunks(piece.offset_bytes, piece.bytes, chunk_bytes_, [&](int64_t offset_bytes, int bytes) {
      check(MPI_Isend(send + offset_bytes, bytes, MPI_BYTE, to, tag, comm_, request()), what, "MPI_Isend", rank());
    });
  }
  return Pending([flight] { flight->wait(); }, [flight] { return flight->arrived(); });
}

}  // namespace smartbird
