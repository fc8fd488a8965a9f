// Every collective in terms of the back end's one primitive, the exchange of pieces; sums fold in rank order.
#include "comm/communicator.h"

#include <cmath>
#include <cstring>
#include <exception>
#include <type_traits>

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

// From here on all_reduce sends 2 (P - 1) / P of its buffer instead of P - 1 times the whole.
constexpr int64_t kLargeReduceElements = 65536;

template <class F>
void with_type(DType type, F&& f) {
  switch (type) {
    case DType::u8: return f(uint8_t{});
    case DType::i32: return f(int32_t{});
    case DType::i64: return f(int64_t{});
    case DType::f32: return f(float{});
    case DType::f64: return f(double{});
  }
}

template <class T>
bool is_nan(T value) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(value);
  return false;
}

// Max and Min keep a NaN from whichever side it comes.
template <class T>
T combine(T a, T b, ReduceOp op) {
  switch (op) {
    case ReduceOp::Sum: return static_cast<T>(a + b);
    case ReduceOp::Max: return b > a || is_nan(b) ? b : a;
    case ReduceOp::Min: return b < a || is_nan(b) ? b : a;
  }
  return a;
}

// out [count] = parts [ranks, count] folded in rank order.
void fold(const std::byte* parts, void* out, int ranks, int64_t count, DType type, ReduceOp op) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const T* part = reinterpret_cast<const T*>(parts);
    T* result = static_cast<T*>(out);
    if (count > 0) std::memcpy(result, part, static_cast<size_t>(count) * sizeof(T));
    for (int r = 1; r < ranks; ++r) {
      part += count;
      for (int64_t i = 0; i < count; ++i) result[i] = combine(result[i], part[i], op);
    }
  });
}

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

std::unique_ptr<std::byte[]> scratch(int64_t bytes) {
  return std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(bytes));
}

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

void Communicator::count_sent(const char* what, std::span<const Piece> pieces) {
  int64_t& total_bytes = sent_bytes_[what];
  for (size_t r = 0; r < pieces.size(); ++r) {
    if (r != static_cast<size_t>(rank_)) total_bytes += pieces[r].bytes;
  }
}

Pending Communicator::start_counted(const char* what, DType type, const void* send, std::span<const Piece> send_pieces,
                                    void* recv, std::span<const Piece> recv_pieces) {
  count_sent(what, send_pieces);
  const auto timed = std::make_shared<TimedExchange>();
  timed->clock = clock_;
  clock_->enter();
  timed->pending = start_exchange(what, type, static_cast<const std::byte*>(send), send_pieces,
                                  static_cast<std::byte*>(recv), recv_pieces);
  timed->there = timed->pending.arrived();  // nothing to send or to receive, or everything at once
  if (!timed->there) ++clock_->flying;
  clock_->leave_exposed();
  return Pending([timed] { timed->wait(); }, [timed] { return timed->arrived(); });
}

Pending Communicator::start_all_gather(const char* what, const void* send, void* recv, Counts counts, DType type) {
  const std::vector<Piece> recv_pieces = consecutive(what, "all_gather counts", counts, type);
  const std::vector<Piece> send_pieces(recv_pieces.size(), {0, recv_pieces[static_cast<size_t>(rank_)].bytes});
  return start_counted(what, type, send, send_pieces, recv, recv_pieces);
}

void Communicator::all_gather(const char* what, const void* send, void* recv, Counts counts, DType type) {
  start_all_gather(what, send, recv, counts, type).wait();
}

Pending Communicator::start_all_to_all_v(const char* what, const void* send, Counts send_counts, void* recv,
                                         Counts recv_counts, DType type) {
  const std::vector<Piece> send_pieces = consecutive(what, "all_to_all_v send_counts", send_counts, type);
  const std::vector<Piece> recv_pieces = consecutive(what, "all_to_all_v recv_counts", recv_counts, type);
  return start_counted(what, type, send, send_pieces, recv, recv_pieces);
}

void Communicator::all_to_all_v(const char* what, const void* send, Counts send_counts, void* recv, Counts recv_counts,
                                DType type) {
  start_all_to_all_v(what, send, send_counts, recv, recv_counts, type).wait();
}

void Communicator::fold_scatter(const char* what, const void* send, void* recv, Counts counts, DType type,
                                ReduceOp op) {
  const std::vector<Piece> send_pieces = consecutive(what, "reduce_scatter counts", counts, type);
  const int64_t mine = counts[static_cast<size_t>(rank_)], mine_bytes = mine * size_bytes(type);
  const std::unique_ptr<std::byte[]> parts = scratch(size_ * mine_bytes);
  std::vector<Piece> recv_pieces;
  for (int64_t r = 0; r < size_; ++r) recv_pieces.push_back({r * mine_bytes, mine_bytes});
  start_counted(what, type, send, send_pieces, parts.get(), recv_pieces).wait();
  fold(parts.get(), recv, size_, mine, type, op);
}

void Communicator::reduce_scatter(const char* what, const void* send, void* recv, Counts counts, DType type) {
  fold_scatter(what, send, recv, counts, type, ReduceOp::Sum);
}

void Communicator::all_reduce(const char* what, void* data, int64_t count, DType type, ReduceOp op) {
  SB_CHECK(count >= 0, Shape, what, ": all_reduce count = ", count, " is negative, on rank ", rank_);
  if (count < kLargeReduceElements) {
    const std::vector<int64_t> counts(static_cast<size_t>(size_), count);
    const std::unique_ptr<std::byte[]> parts = scratch(size_ * count * size_bytes(type));
    all_gather(what, data, parts.get(), counts, type);
    fold(parts.get(), data, size_, count, type, op);
    return;
  }
  std::vector<int64_t> counts;
  for (int64_t r = 0; r < size_; ++r) counts.push_back(count / size_ + (r < count % size_ ? 1 : 0));
  const std::unique_ptr<std::byte[]> mine = scratch(counts[static_cast<size_t>(rank_)] * size_bytes(type));
  fold_scatter(what, data, mine.get(), counts, type, op);
  all_gather(what, mine.get(), data, counts, type);
}

void Communicator::broadcast(const char* what, void* data, int64_t count, DType type, int root) {
  SB_CHECK(count >= 0, Shape, what, ": broadcast count = ", count, " is negative, on rank ", rank_);
  SB_CHECK(root >= 0 && root < size_, Shape, what, ": broadcast root = ", root, " is not one of the ", size_,
           " ranks, on rank ", rank_);
  const Piece whole{0, count * size_bytes(type)};
  const std::vector<Piece> send_pieces(static_cast<size_t>(size_), rank_ == root ? whole : Piece{});
  std::vector<Piece> recv_pieces(static_cast<size_t>(size_));
  recv_pieces[static_cast<size_t>(root)] = whole;
  start_counted(what, type, data, send_pieces, data, recv_pieces).wait();
}

void Communicator::copy_own_piece(const char* what, const std::byte* send, std::span<const Piece> send_pieces,
                                  std::byte* recv, std::span<const Piece> recv_pieces) const {
  const Piece from = send_pieces[static_cast<size_t>(rank_)], to = recv_pieces[static_cast<size_t>(rank_)];
  SB_CHECK(from.bytes == to.bytes, Comm, what, ": rank ", rank_, " sends ", from.bytes, " bytes to itself but expects ",
           to.bytes);
  if (from.bytes > 0) std::memmove(recv + to.offset_bytes, send + from.offset_bytes, static_cast<size_t>(from.bytes));
}

}  // namespace smartbird
