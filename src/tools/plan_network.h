// What the traffic of a step takes on a network: ranks spread evenly over hosts, each host with one link that its ranks share;
// within a host bytes take no time. A rank's bytes are taken to go to all other ranks of its group alike.
//   an operation: exchanges · latency + bytes · (share that leaves a host) / (hosts · rate)
#pragma once

#include <array>
#include <optional>

#include "core/link.h"
#include "tools/plan_bytes.h"

namespace smartbird {

struct Network {
  int64_t hosts = 1;
  std::optional<Link> link;  // without one, bytes are all that is known
};

// 0 on one host or without a link.
[[nodiscard]] double communication_s(const Network& network, const PlanCase& plan,
                                     const std::map<std::string, Operation>& traffic);

// One exchange plan of the step.
struct ExchangeForecast {
  ExchangePlan exchange = ExchangePlan::Rows;
  double bytes = 0, exchanges = 0, seconds = 0;
};
// The plans that are possible.
[[nodiscard]] std::vector<ExchangeForecast> forecast_exchanges(const Network& network, const PlanCase& plan);
// The cheapest: by time, where that is not known by bytes. What a run takes under `auto` follows from its picks and its slowest
// rank, and may be another.
[[nodiscard]] ExchangePlan cheapest(const std::vector<ExchangeForecast>& forecasts);

}  // namespace smartbird
