// Who is in a group of ranks, and the collectives among them. Buffers are contiguous; counts are elements; zero counts
// are legal everywhere; every rank of the group calls the same collectives in the same order. A result is the same bits on
// every rank. Sums of a group over host memory run in rank order (0, 1, 2, ...), so they are those of every such back end.
// `what` names the operation ("rows", "gradients", ...): the bytes a rank sends to others are counted under it.
// Payloads above the chunk limit travel in several messages. Errors: ErrorKind::Comm, with the operation, both ranks
// and the values.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/types.h"

namespace smartbird {

enum class ReduceOp { Sum, Max, Min };

using Counts = std::span<const int64_t>;

// A started collective. wait() must be called before the receive buffer is read or the send buffer is changed; other
// collectives may start and end in between. The destructor waits if nobody did, except while an error unwinds the stack (the
// run ends).
// arrived() never waits: it lets messages make progress and tells whether wait() would return at once.
class Pending {
 public:
  Pending() = default;
  explicit Pending(std::function<void()> wait, std::function<bool()> arrived = {})
      : wait_(std::move(wait)), arrived_(std::move(arrived)) {}
  Pending(Pending&& other) noexcept { *this = std::move(other); }
  Pending& operator=(Pending&& other) noexcept;
  ~Pending();
  void wait();
  [[nodiscard]] bool arrived() { return !wait_ || (arrived_ && arrived_()); }

 private:
  std::function<void()> wait_;
  std::function<bool()> arrived_;
};

// Time of a rank's exchanges. Exposed: inside the calls that start and await them; hidden: outside, while at least one was on
// its way (not yet seen to have arrived).
struct ExchangeTime {
  double exposed_ms = 0, hidden_ms = 0;
};
class ExchangeClock;

class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }

  // recv (sum of counts) = every rank's send (counts[r] elements), in rank order.
  void all_gather(const char* what, const void* send, void* recv, Counts counts, DType type);
  [[nodiscard]] Pending start_all_gather(const char* what, const void* send, void* recv, Counts counts, DType type);
  // send holds a piece for each rank (send_counts), recv a piece from each rank (recv_counts), in rank order.
  void all_to_all_v(const char* what, const void* send, Counts send_counts, void* recv, Counts recv_counts, DType type);
  [[nodiscard]] Pending start_all_to_all_v(const char* what, const void* send, Counts send_counts, void* recv,
                                           Counts recv_counts, DType type);
  // recv (counts[rank]) = the sum over ranks of their piece of send (sum of counts) that belongs to this rank.
  void reduce_scatter(const char* what, const void* send, void* recv, Counts counts, DType type);
  void all_reduce(const char* what, void* data, int64_t count, DType type, ReduceOp op = ReduceOp::Sum);
  void broadcast(const char* what, void* data, int64_t count, DType type, int root);
  virtual void barrier() = 0;
  // Returns when everything that was awaited has really ended; a group over device memory only queues until then.
  virtual void finish() {}
  // A group of the ranks that give the same color, ordered by key, then by rank. Collective.
  [[nodiscard]] virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  // Convenience: one value from each rank, in rank order; the sum, the largest of one value.
  template <class T>
  [[nodiscard]] std::vector<T> gather_value(const char* what, T value) {
    std::vector<T> all(static_cast<size_t>(size_));
    const std::vector<int64_t> ones(static_cast<size_t>(size_), 1);
    all_gather(what, &value, all.data(), ones, kDTypeOf<T>);
    return all;
  }
  template <class T>
  [[nodiscard]] T reduce_value(const char* what, T value, ReduceOp op) {
    all_reduce(what, &value, 1, kDTypeOf<T>, op);
    return value;
  }

  // Bytes this rank has sent to other ranks since clear_counters(), by operation.
  [[nodiscard]] const std::map<std::string, int64_t>& sent_bytes() const { return sent_bytes_; }
  // Time of the exchanges that were awaited since then.
  [[nodiscard]] ExchangeTime exchange_time() const;
  void clear_counters();

 protected:
  Communicator(int rank, int size);
  // A piece of a buffer, in bytes.
  struct Piece {
    int64_t offset_bytes = 0, bytes = 0;
  };
  // The one primitive of a back end: piece r of send goes to rank r, piece r of recv comes from rank r.
  virtual Pending start_exchange(const char* what, DType type, const std::byte* send,
                                 std::span<const Piece> send_pieces, std::byte* recv,
                                 std::span<const Piece> recv_pieces) = 0;
  // The primitive of another group, for groups that stand in front of one.
  static Pending exchange_on(Communicator& group, const char* what, DType type, const std::byte* send,
                             std::span<const Piece> send_pieces, std::byte* recv, std::span<const Piece> recv_pieces) {
    return group.start_exchange(what, type, send, send_pieces, recv, recv_pieces);
  }
  // From here on all_reduce sends 2 (P - 1) / P of its buffer instead of P - 1 times the whole.
  static constexpr int64_t kLargeReduceElements = 65536;
  // What a back end may have of its own; here in terms of the primitive, folding in host memory and in rank order.
  virtual Pending start_gather(const char* what, DType type, const std::byte* send, std::byte* recv,
                               std::span<const Piece> recv_pieces);
  virtual Pending start_reduce_scatter(const char* what, DType type, const std::byte* send,
                                       std::span<const Piece> send_pieces, std::byte* recv, ReduceOp op);
  virtual Pending start_all_reduce(const char* what, DType type, std::byte* data, int64_t count, ReduceOp op);
  virtual Pending start_broadcast(const char* what, DType type, std::byte* data, int64_t bytes, int root);
  friend class CheckedComm;  // stands in front of a group, whatever it is over
  friend class StagedComm;   // copies what another group moves
  // The bytes that a rank sends to itself, which must be those that it expects from itself.
  int64_t check_own_piece(const char* what, std::span<const Piece> send_pieces,
                          std::span<const Piece> recv_pieces) const;
  // The part of an exchange that stays on this rank; send and recv may be the same place.
  void copy_own_piece(const char* what, const std::byte* send, std::span<const Piece> send_pieces, std::byte* recv,
                      std::span<const Piece> recv_pieces) const;

 private:
  std::vector<Piece> consecutive(const char* what, const char* name, Counts counts, DType type) const;
  // In equal parts as far as possible, the first ones larger by one element.
  std::vector<Piece> shares(int64_t count, DType type) const;
  [[nodiscard]] int64_t bytes_to_others(std::span<const Piece> send_pieces) const;
  // Counts the bytes and keeps the time of what `start` starts.
  Pending timed(const char* what, int64_t sent_bytes, const std::function<Pending()>& start);

  int rank_, size_;
  std::map<std::string, int64_t> sent_bytes_;
  std::shared_ptr<ExchangeClock> clock_;
};

}  // namespace smartbird
