// Predicted time of what an exchange plan sends, for `exchange.plan = auto`: over all layers and passes that the plan serves,
//   Σ over exchanges of latency + max(sent, received) / bandwidth      (method.md section 7 for the bytes)
// as the slowest rank sees it. Computation is the same for every plan and does not count; nor does what overlap may hide.
#pragma once

#include "core/link.h"
#include "data/layout.h"

namespace smartbird {

// What one plan will carry.
struct ExchangeUse {
  int64_t layers = 1;         // that it serves
  int64_t row_fetches = 1;    // a layer: 1, and 1 each for recomputation and memory.rows = fetch_again
  int64_t other_fetches = 1;  // of queries and outputs of heads: not for fetch_again
  bool returns = false;       // gradients take the way back
  int64_t head_width = 1;     // D
  double element_bytes = 4, kv_element_bytes = 4;  // of queries, outputs and gradients; of keys and values
  double log_pi_bytes = 4;
};

// Sent and received elements, rows or ids: an exchange takes as long as the longer of both.
struct Load {
  double sent = 0, received = 0;
  [[nodiscard]] double larger() const { return sent > received ? sent : received; }
};

// One rank's part under the plan `rows`; units are (row, kv head) pairs.
struct RowsLoad {
  Load halo, globals, singles;  // units
  bool asks = false;            // ranks tell how many singles they want, once
};
[[nodiscard]] double rows_seconds(const Link& link, const ExchangeUse& use, const RowsLoad& load);

// Every row of other ranks: units.
[[nodiscard]] double all_seconds(const Link& link, const ExchangeUse& use, const Load& units);

// The head all-to-all: tokens of the layout, and the lists and picks that this rank sends.
struct HeadsLoad {
  int64_t ranks = 1, tokens = 0, own_tokens = 0;  // P, N, T
  int64_t heads = 1, kv_heads = 1;                // H, G
  double lists = 0, picks = 0;
};
[[nodiscard]] double heads_seconds(const Link& link, const ExchangeUse& use, const HeadsLoad& load);

}  // namespace smartbird
