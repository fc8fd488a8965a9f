// The sums over exchanges.
#include "ops/exchange_cost.h"

#include <algorithm>

namespace smartbird {
namespace {

// One exchange of `elements`; nothing to send and receive is no exchange.
double once(const Link& link, double bytes) { return bytes > 0 ? link.seconds(bytes) : 0; }

// Keys and values of `units` in every layer, there and back.
double row_trips(const Link& link, const ExchangeUse& use, double units) {
  const double elements = 2 * static_cast<double>(use.head_width) * units;
  return static_cast<double>(use.layers) *
         (static_cast<double>(use.row_fetches) * once(link, use.kv_element_bytes * elements) +
          (use.returns ? once(link, use.element_bytes * elements) : 0));
}

// Queries or outputs in every layer.
double other_trips(const Link& link, const ExchangeUse& use, double elements) {
  return static_cast<double>(use.layers) * static_cast<double>(use.other_fetches + (use.returns ? 1 : 0)) *
         once(link, use.element_bytes * elements);
}

}  // namespace

double rows_seconds(const Link& link, const ExchangeUse& use, const RowsLoad& load) {
  constexpr double kIdBytes = 4;
  double s = 0;
  for (const Load& units : {load.halo, load.globals, load.singles}) s += row_trips(link, use, units.larger());
  return load.asks ? s + link.latency_s + once(link, kIdBytes * load.singles.larger()) : s;  // counts of ids, then ids
}

double all_seconds(const Link& link, const ExchangeUse& use, const Load& units) {
  return row_trips(link, use, units.larger());
}

double heads_seconds(const Link& link, const ExchangeUse& use, const HeadsLoad& load) {
  const double p = static_cast<double>(load.ranks), own = static_cast<double>(load.own_tokens),
               moved = std::max(own * (p - 1), static_cast<double>(load.tokens) - own) / p;
  constexpr double kSizeBytes = 4, kKeyBytes = 4;
  double s = row_trips(link, use, moved * static_cast<double>(load.kv_heads)) +
             2 * other_trips(link, use, moved * static_cast<double>(load.heads * use.head_width));
  if (load.lists == 0) return s;
  const double away = (p - 1) / p;
  for (double bytes : {kSizeBytes * load.lists, kKeyBytes * load.picks, use.log_pi_bytes * load.picks})
    s += once(link, away * bytes);
  return s;
}

}  // namespace smartbird
