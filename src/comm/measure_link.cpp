// Timed all-to-alls.
#include "comm/measure_link.h"

#include <algorithm>

#include "core/timer.h"

namespace smartbird {
namespace {

constexpr const char* kWhat = "link";
constexpr double kLongEnoughS = 0.02;           // a payload that takes this long, and
constexpr double kManyLatencies = 8;            // this many times an empty exchange, tells the rate
constexpr int64_t kMostBytes = kLinkBytes / 2;  // sent by a rank to others

struct Buffers {
  Communicator &group, &host;
  void *send, *recv;
};

// The slowest rank's time of one all-to-all of `bytes` a pair.
double exchange_s(const Buffers& on, int64_t bytes) {
  const std::vector<int64_t> counts(static_cast<size_t>(on.group.size()), bytes);
  on.host.barrier();
  const Stopwatch watch;
  on.group.all_to_all_v(kWhat, on.send, counts, on.recv, counts, DType::u8);
  on.group.finish();
  return on.host.reduce_value(kWhat, watch.elapsed_ms() * 1e-3, ReduceOp::Max);
}

// The least of a few tries: what other work on the machine adds is not the link's.
double least_s(const Buffers& on, int64_t bytes, int tries) {
  double least = exchange_s(on, bytes);
  while (--tries > 0) least = std::min(least, exchange_s(on, bytes));
  return least;
}

}  // namespace

Link measure_link(Communicator& group, Communicator& host, void* send, void* recv) {
  constexpr Link kNoOther{0, 1e12};  // one rank sends nothing
  if (group.size() == 1) return kNoOther;
  const Buffers on{group, host, send, recv};
  const double others = group.size() - 1;
  const double latency_s = least_s(on, 1, 5), enough_s = std::max(kLongEnoughS, kManyLatencies * latency_s);
  for (int64_t bytes = 1024;; bytes *= 2) {
    double s = exchange_s(on, bytes);
    if (s >= enough_s) s = std::min(s, least_s(on, bytes, 2));  // one hiccup is no link
    const double sent = others * static_cast<double>(bytes);
    if (s < enough_s && 2 * sent <= kMostBytes) continue;
    return {latency_s, sent / std::max(s - latency_s, s / kManyLatencies)};
  }
}

}  // namespace smartbird
