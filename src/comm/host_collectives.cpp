// What a back end that has only the exchange of pieces does for the other collectives: sums fold in host memory, in rank order.
#include <cmath>
#include <cstring>
#include <type_traits>

#include "comm/communicator.h"

namespace smartbird {
namespace {

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

std::unique_ptr<std::byte[]> scratch(int64_t bytes) {
  return std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(bytes));
}

}  // namespace

Pending Communicator::start_gather(const char* what, DType type, const std::byte* send, std::byte* recv,
                                   std::span<const Piece> recv_pieces) {
  const std::vector<Piece> send_pieces(recv_pieces.size(), {0, recv_pieces[static_cast<size_t>(rank_)].bytes});
  return start_exchange(what, type, send, send_pieces, recv, recv_pieces);
}

Pending Communicator::start_reduce_scatter(const char* what, DType type, const std::byte* send,
                                           std::span<const Piece> send_pieces, std::byte* recv, ReduceOp op) {
  const int64_t mine_bytes = send_pieces[static_cast<size_t>(rank_)].bytes, count = mine_bytes / size_bytes(type);
  const std::shared_ptr<std::byte[]> parts = scratch(size_ * mine_bytes);
  std::vector<Piece> recv_pieces;
  for (int64_t r = 0; r < size_; ++r) recv_pieces.push_back({r * mine_bytes, mine_bytes});
  const auto pending =
      std::make_shared<Pending>(start_exchange(what, type, send, send_pieces, parts.get(), recv_pieces));
  return Pending([=, ranks = size_] {
    pending->wait();
    fold(parts.get(), recv, ranks, count, type, op);
  });
}

Pending Communicator::start_all_reduce(const char* what, DType type, std::byte* data, int64_t count, ReduceOp op) {
  if (count < kLargeReduceElements) {
    const int64_t bytes = count * size_bytes(type);
    std::vector<Piece> pieces;
    for (int64_t r = 0; r < size_; ++r) pieces.push_back({r * bytes, bytes});
    const std::unique_ptr<std::byte[]> parts = scratch(size_ * bytes);
    start_gather(what, type, data, parts.get(), pieces).wait();
    fold(parts.get(), data, size_, count, type, op);
    return {};
  }
  const std::vector<Piece> pieces = shares(count, type);
  const std::unique_ptr<std::byte[]> mine = scratch(pieces[static_cast<size_t>(rank_)].bytes);
  start_reduce_scatter(what, type, data, pieces, mine.get(), op).wait();
  start_gather(what, type, mine.get(), data, pieces).wait();
  return {};
}

Pending Communicator::start_broadcast(const char* what, DType type, std::byte* data, int64_t bytes, int root) {
  const Piece whole{0, bytes};
  const std::vector<Piece> send_pieces(static_cast<size_t>(size_), rank_ == root ? whole : Piece{});
  std::vector<Piece> recv_pieces(static_cast<size_t>(size_));
  recv_pieces[static_cast<size_t>(root)] = whole;
  return start_exchange(what, type, data, send_pieces, data, recv_pieces);
}

}  // namespace smartbird
