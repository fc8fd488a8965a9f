// Which rows of other ranks a sketch's picks want (φ), drawn anew for other share groups and query
// blocks and laid over other numbers of ranks.
#pragma once

#include <limits>
#include <vector>

#include "model/attention_observer.h"
#include "model/parameters.h"
#include "model/shape.h"

namespace smartbird {

inline constexpr int kTrafficRanks[] = {2, 4, 8, 16, 32, 64};

struct TrafficReport {
  int64_t query_block = 1, share_rows = 0;               // b, g; 0 = the whole sequence
  std::vector<double> phi;                               // by kTrafficRanks: Σ over sketches and sequences
  double draws = 0;                                      // how many those are
  int64_t blocks = std::numeric_limits<int64_t>::max();  // of the shortest of those sequences
};

// The choices of b and g that are looked at; b of the model first.
[[nodiscard]] std::vector<TrafficReport> traffic_choices(int64_t query_block);
// Adds a draw of one sequence to every choice. One rank.
void add_traffic(const StepContext& context, const Parameters& parameters, const ModelShape& shape,
                 const ObservedSketch& sketch, std::vector<TrafficReport>& choices);

}  // namespace smartbird
