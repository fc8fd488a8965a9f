// Recorded picks laid over any number of ranks: what each would fetch, send and scan, and how long its exchanges would take
// (ops/exchange_cost.h, a link for every rank). Pure arithmetic; nothing is drawn again.
#pragma once

#include <array>

#include "data/layout.h"
#include "train/picks_file.h"

namespace smartbird {

struct Replay {
  double phi = 0;
  std::vector<std::vector<double>> phi_by_sketch_head;  // [sketches][kv heads]
  double row_bytes = 0,
         all_bytes = 0;   // of the rows that travel one by one, of an all-gather: all layers, there and back
  double halo_bytes = 0;  // of band and global keys, beside row_bytes
  double scan_imbalance = 1, sent_imbalance = 1;  // largest over mean of the ranks
  // Slowest rank, all sketches and layers, by ExchangePlan; infinite where a plan is not possible.
  std::array<double, 3> seconds{};
  [[nodiscard]] double cheapest_s() const;
};

[[nodiscard]] Replay replay(const PicksRecord& record, const RecordedStream& stream, int ranks, LayoutKind layout,
                            const Link& link);

// The picks of the first tokens of a causal stream: exactly those that the shorter stream would have drawn.
[[nodiscard]] RecordedStream first_tokens(const PicksRecord& record, const RecordedStream& stream, int64_t tokens);
// (block, key of E) pairs of a stream: what a scan goes through.
[[nodiscard]] double scan_pairs(const PicksRecord& record, const RecordedStream& stream);

}  // namespace smartbird
