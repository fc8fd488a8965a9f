// Timed all-to-alls.
#include "comm/measure_link.h"

#include <algorithm>

#include "core/timer.h"

namespace smartbird {
namespace {

constexpr const char* kWhat = "link";
constexpr double kLongEnoughS = 0.02;             // a payload that takes this long, and
constexpr double kManyLatencies = 8;              // this many times an empty exchange, tells the rate
constexpr int64_t kMostBytes = int64_t{1} << 24;  // sent by a rank

// The slowest rank's time of one all-to-all of `bytes` a pair.
double exchange_s(Communicator& group, std::vector<std::byte>& send, std::vector<std::byte>& recv, int64_t bytes) {
  const size_t ranks = static_cast<size_t>(group.size()), size = ranks * static_cast<size_t>(bytes);
  if (send.size() < size) send.resize(size), recv.resize(size);
  const std::vector<int64_t> counts(ranks, bytes);
  group.barrier();
  const Stopwatch watch;
  group.all_to_all_v(kWhat, send.data(), counts, recv.data(), counts, DType::u8);
  return group.reduce_value(kWhat, watch.elapsed_ms() * 1e-3, ReduceOp::Max);
}

// The least of a few tries: what other work on the machine adds is not the link's.
double least_s(Communicator& group, std::vector<std::byte>& send, std::vector<std::byte>& recv, int64_t bytes,
               int tries) {
  double least = exchange_s(group, send, recv, bytes);
  while (--tries > 0) least = std::min(least, exchange_s(group, send, recv, bytes));
  return least;
}

}  // namespace

Link measure_link(Communicator& group) {
  constexpr Link kNoOther{0, 1e12};  // one rank sends nothing
  if (group.size() == 1) return kNoOther;
  std::vector<std::byte> send, recv;
  const double others = group.size() - 1;
  const double latency_s = least_s(group, send, recv, 1, 5),
               enough_s = std::max(kLongEnoughS, kManyLatencies * latency_s);
  for (int64_t bytes = 1024;; bytes *= 2) {
    double s = exchange_s(group, send, recv, bytes);
    if (s >= enough_s) s = std::min(s, least_s(group, send, recv, bytes, 2));  // one hiccup is no link
    const double sent = others * static_cast<double>(bytes);
    if (s < enough_s && 2 * sent <= kMostBytes) continue;
    return {latency_s, sent / std::max(s - latency_s, s / kManyLatencies)};
  }
}

}  // namespace smartbird
