// Comparing before exchanging.
#include "comm/checked_comm.h"

#include <array>
#include <cstring>

#include "core/error.h"

namespace smartbird {
namespace {

constexpr const char* kCheck = "check_comm";

const char* name_of(DType type) {
  switch (type) {
    case DType::u8: return "u8";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::f32: return "f32";
    case DType::f64: return "f64";
  }
  return "?";
}

// What a rank is about to do with another one.
struct Intent {
  int64_t number = 0, sends = 0, expects = 0;  // exchanges before this one; bytes to the other rank and from it
  std::array<char, 48> what{};
  std::array<char, 23> kind{};  // of collective, with the operation of a sum
  DType type = DType::u8;
};
static_assert(sizeof(Intent) == 96);

const char* kind_of(const char* sum, const char* max, const char* min, ReduceOp op) {
  return op == ReduceOp::Sum ? sum : op == ReduceOp::Max ? max : min;
}

std::string text_of(const Intent& of) {
  return join("exchange ", of.number, ", ", of.what.data(), " of ", name_of(of.type));
}

}  // namespace

CheckedComm::CheckedComm(std::unique_ptr<Communicator> inner) : CheckedComm(std::move(inner), nullptr) {}

CheckedComm::CheckedComm(std::unique_ptr<Communicator> inner, std::unique_ptr<Communicator> host)
    : Communicator(inner->rank(), inner->size()), inner_(std::move(inner)), host_(std::move(host)) {}

void CheckedComm::barrier() {
  const std::vector<Piece> none(static_cast<size_t>(size()));
  compare("barrier", "barrier", DType::u8, none, none);
  inner_->barrier();
}

std::unique_ptr<Communicator> CheckedComm::split(int color, int key) {
  const std::vector<Piece> none(static_cast<size_t>(size()));
  compare("split", "split", DType::u8, none, none);
  return std::make_unique<CheckedComm>(inner_->split(color, key), host_ ? host_->split(color, key) : nullptr);
}

void CheckedComm::compare(const char* kind, const char* what, DType type, std::span<const Piece> send_pieces,
                          std::span<const Piece> recv_pieces) {
  const size_t ranks = static_cast<size_t>(size());
  std::vector<Intent> mine(ranks), theirs(ranks);
  for (size_t r = 0; r < ranks; ++r) {
    mine[r].number = exchanges_, mine[r].type = type;
    mine[r].sends = send_pieces[r].bytes, mine[r].expects = recv_pieces[r].bytes;
    std::strncpy(mine[r].what.data(), what, mine[r].what.size() - 1);
    std::strncpy(mine[r].kind.data(), kind, mine[r].kind.size() - 1);
  }
  ++exchanges_;
  const std::vector<int64_t> bytes(ranks, sizeof(Intent));
  host().all_to_all_v(kCheck, mine.data(), bytes, theirs.data(), bytes, DType::u8);
  for (size_t r = 0; r < ranks; ++r) {
    const Intent &a = mine[r], &b = theirs[r];
    SB_CHECK(a.number == b.number && a.what == b.what && a.type == b.type, Comm, "run.check_comm: rank ", rank(),
             " is at ", text_of(a), ", but rank ", r, " is at ", text_of(b));
    SB_CHECK(a.kind == b.kind, Comm, "run.check_comm: in ", text_of(a), ", rank ", rank(), " calls ", a.kind.data(),
             ", but rank ", r, " calls ", b.kind.data());
    SB_CHECK(a.sends == b.expects && a.expects == b.sends, Comm, "run.check_comm: in ", text_of(a), ", rank ", rank(),
             " sends ", a.sends, " bytes to rank ", r, ", which expects ", b.expects, ", and expects ", a.expects,
             " bytes of the ", b.sends, " that it sends");
  }
}

Pending CheckedComm::start_exchange(const char* what, DType type, const std::byte* send,
                                    std::span<const Piece> send_pieces, std::byte* recv,
                                    std::span<const Piece> recv_pieces) {
  compare("exchange", what, type, send_pieces, recv_pieces);
  return inner_->start_exchange(what, type, send, send_pieces, recv, recv_pieces);
}

std::vector<Communicator::Piece> CheckedComm::to_each(int64_t bytes) const {
  return std::vector<Piece>(static_cast<size_t>(size()), {0, bytes});
}

Pending CheckedComm::start_gather(const char* what, DType type, const std::byte* send, std::byte* recv,
                                  std::span<const Piece> recv_pieces) {
  compare("gather", what, type, to_each(recv_pieces[static_cast<size_t>(rank())].bytes), recv_pieces);
  return inner_->start_gather(what, type, send, recv, recv_pieces);
}

Pending CheckedComm::start_reduce_scatter(const char* what, DType type, const std::byte* send,
                                          std::span<const Piece> send_pieces, std::byte* recv, ReduceOp op) {
  compare(kind_of("reduce_scatter sum", "reduce_scatter max", "reduce_scatter min", op), what, type, send_pieces,
          to_each(send_pieces[static_cast<size_t>(rank())].bytes));
  return inner_->start_reduce_scatter(what, type, send, send_pieces, recv, op);
}

Pending CheckedComm::start_all_reduce(const char* what, DType type, std::byte* data, int64_t count, ReduceOp op) {
  const int64_t bytes = count * size_bytes(type);
  compare(kind_of("all_reduce sum", "all_reduce max", "all_reduce min", op), what, type, to_each(bytes),
          to_each(bytes));
  return inner_->start_all_reduce(what, type, data, count, op);
}

Pending CheckedComm::start_broadcast(const char* what, DType type, std::byte* data, int64_t bytes, int root) {
  std::vector<Piece> from(static_cast<size_t>(size()));
  from[static_cast<size_t>(root)] = {0, bytes};
  compare("broadcast", what, type, rank() == root ? to_each(bytes) : to_each(0), from);
  return inner_->start_broadcast(what, type, data, bytes, root);
}

}  // namespace smartbird
