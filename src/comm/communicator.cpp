// Checks, counts and times every collective before a back end starts it.
#include "comm/communicator.h"

#include <cstring>
#include <exception>

#include "core/error.h"
#include "core/timer.h"

namespace smartbird {

// Tells time inside the calls of a group from time between them.
class ExchangeClock {
 public:
  // At the beginning of a call; what the call takes is exposed from then on, or not counted.
  void enter() {
    const double now_ms = watch_.elapsed_ms();
    if (flying > 0) total.hidden_ms += now_ms - left_ms_;
    left_ms_ = now_ms;
  }
  void leave_exposed() {
    const double now_ms = watch_.elapsed_ms();
    total.exposed_ms += now_ms - left_ms_;
    left_ms_ = now_ms;
  }
  void leave() { left_ms_ = watch_.elapsed_ms(); }

  ExchangeTime total;
  int flying = 0;  // exchanges that were started and not seen to have arrived

 private:
  Stopwatch watch_;
  double left_ms_ = 0;  // when the last call ended
};

namespace {

// An exchange whose time is kept.
struct TimedExchange {
  Pending pending;
  std::shared_ptr<ExchangeClock> clock;
  bool there = false;

  void land() {
    if (!there) --clock->flying;
    there = true;
  }
  bool arrived() {
    if (there) return true;
    clock->enter();
    if (pending.arrived()) land();
    clock->leave();
    return there;
  }
  void wait() {
    clock->enter();
    pending.wait();
    land();
    clock->leave_exposed();
  }
};

}  // namespace

Communicator::Communicator(int rank, int size) : rank_(rank), size_(size), clock_(std::make_shared<ExchangeClock>()) {}

ExchangeTime Communicator::exchange_time() const { return clock_->total; }

void Communicator::clear_counters() { sent_bytes_.clear(), clock_->total = {}; }

Pending& Pending::operator=(Pending&& other) noexcept {
  if (this == &other) return *this;
  Pending finished;  // what this held so far; its destructor waits
  finished.wait_ = std::move(wait_);
  wait_ = std::move(other.wait_), arrived_ = std::move(other.arrived_);
  other.wait_ = nullptr, other.arrived_ = nullptr;
  return *this;
}

Pending::~Pending() {
  // While an error unwinds the stack the peers may never answer, and waiting for them would hide the error.
  if (!wait_ || std::uncaught_exceptions() > 0) return;
  try {
    wait();
  } catch (...) {  // a destructor cannot report it; the peers' next collective fails in turn
  }
}

void Pending::wait() {
  const std::function<void()> wait = std::move(wait_);
  wait_ = nullptr;
  if (wait) wait();
}

std::vector<Communicator::Piece> Communicator::consecutive(const char* what, const char* name, Counts counts,
                                                           DType type) const {
  SB_CHECK(counts.size() == static_cast<size_t>(size_), Shape, what, ": ", name, " has ", counts.size(),
           " entries, expected ", size_, " (one per rank), on rank ", rank_);
  std::vector<Piece> pieces;
  pieces.reserve(counts.size());
  int64_t offset_bytes = 0;
  for (size_t r = 0; r < counts.size(); ++r) {
    SB_CHECK(counts[r] >= 0, Shape, what, ": ", name, "[", r, "] = ", counts[r], " is negative, on rank ", rank_);
    pieces.push_back({offset_bytes, counts[r] * size_bytes(type)});
    offset_bytes += pieces.back().bytes;
  }
  return pieces;
}

std::vector<Communicator::Piece> Communicator::shares(int64_t count, DType type) const {
  std::vector<Piece> pieces;
  int64_t offset_bytes = 0;
  for (int64_t r = 0; r < size_; ++r) {
    pieces.push_back({offset_bytes, (count / size_ + (r < count % size_ ? 1 : 0)) * size_bytes(type)});
    offset_bytes += pieces.back().bytes;
  }
  return pieces;
}

int64_t Communicator::bytes_to_others(std::span<const Piece> send_pieces) const {
  int64_t bytes = 0;
  for (size_t r = 0; r < send_pieces.size(); ++r) {
    if (r != static_cast<size_t>(rank_)) bytes += send_pieces[r].bytes;
  }
  return bytes;
}

Pending Communicator::timed(const char* what, int64_t sent_bytes, const std::function<Pending()>& start) {
  sent_bytes_[what] += sent_bytes;
  const auto timed = std::make_shared<TimedExchange>();
  timed->clock = clock_;
  clock_->enter();
  timed->pending = start();
  timed->there = timed->pending.arrived();  // nothing to send or to receive, or everything at once
  if (!timed->there) ++clock_->flying;
  clock_->leave_exposed();
  return Pending([timed] { timed->wait(); }, [timed] { return timed->arrived(); });
}

Pending Communicator::start_all_gather(const char* what, const void* send, void* recv, Counts counts, DType type) {
  const std::vector<Piece> pieces = consecutive(what, "all_gather counts", counts, type);
  return timed(what, (size_ - 1) * pieces[static_cast<size_t>(rank_)].bytes, [&] {
    return start_gather(what, type, static_cast<const std::byte*>(send), static_cast<std::byte*>(recv), pieces);
  });
}

void Communicator::all_gather(const char* what, const void* send, void* recv, Counts counts, DType type) {
  start_all_gather(what, send, recv, counts, type).wait();
}

Pending Communicator::start_all_to_all_v(const char* what, const void* send, Counts send_counts, void* recv,
                                         Counts recv_counts, DType type) {
  const std::vector<Piece> send_pieces = consecutive(what, "all_to_all_v send_counts", send_counts, type);
  const std::vector<Piece> recv_pieces = consecutive(what, "all_to_all_v recv_counts", recv_counts, type);
  return timed(what, bytes_to_others(send_pieces), [&] {
    return start_exchange(what, type, static_cast<const std::byte*>(send), send_pieces, static_cast<std::byte*>(recv),
                          recv_pieces);
  });
}

void Communicator::all_to_all_v(const char* what, const void* send, Counts send_counts, void* recv, Counts recv_counts,
                                DType type) {
  start_all_to_all_v(what, send, send_counts, recv, recv_counts, type).wait();
}

void Communicator::reduce_scatter(const char* what, const void* send, void* recv, Counts counts, DType type) {
  const std::vector<Piece> pieces = consecutive(what, "reduce_scatter counts", counts, type);
  timed(what, bytes_to_others(pieces), [&] {
    return start_reduce_scatter(what, type, static_cast<const std::byte*>(send), pieces, static_cast<std::byte*>(recv),
                                ReduceOp::Sum);
  }).wait();
}

void Communicator::all_reduce(const char* what, void* data, int64_t count, DType type, ReduceOp op) {
  SB_CHECK(count >= 0, Shape, what, ": all_reduce count = ", count, " is negative, on rank ", rank_);
  const int64_t others = size_ - 1;
  int64_t sent_bytes = others * count * size_bytes(type);
  if (count >= kLargeReduceElements) {
    const std::vector<Piece> pieces = shares(count, type);
    sent_bytes = bytes_to_others(pieces) + others * pieces[static_cast<size_t>(rank_)].bytes;
  }
  timed(what, sent_bytes, [&] {
    return start_all_reduce(what, type, static_cast<std::byte*>(data), count, op);
  }).wait();
}

void Communicator::broadcast(const char* what, void* data, int64_t count, DType type, int root) {
  SB_CHECK(count >= 0, Shape, what, ": broadcast count = ", count, " is negative, on rank ", rank_);
  SB_CHECK(root >= 0 && root < size_, Shape, what, ": broadcast root = ", root, " is not one of the ", size_,
           " ranks, on rank ", rank_);
  const int64_t bytes = count * size_bytes(type);
  timed(what, rank_ == root ? (size_ - 1) * bytes : 0, [&] {
    return start_broadcast(what, type, static_cast<std::byte*>(data), bytes, root);
  }).wait();
}

int64_t Communicator::check_own_piece(const char* what, std::span<const Piece> send_pieces,
                                      std::span<const Piece> recv_pieces) const {
  const Piece from = send_pieces[static_cast<size_t>(rank_)], to = recv_pieces[static_cast<size_t>(rank_)];
  SB_CHECK(from.bytes == to.bytes, Comm, what, ": rank ", rank_, " sends ", from.bytes, " bytes to itself but expects ",
           to.bytes);
  return from.bytes;
}

void Communicator::copy_own_piece(const char* what, const std::byte* send, std::span<const Piece> send_pieces,
                                  std::byte* recv, std::span<const Piece> recv_pieces) const {
  const int64_t bytes = check_own_piece(what, send_pieces, recv_pieces);
  const size_t me = static_cast<size_t>(rank_);
  if (bytes > 0)
    std::memmove(recv + recv_pieces[me].offset_bytes, send + send_pieces[me].offset_bytes, static_cast<size_t>(bytes));
}

}  // namespace smartbird
