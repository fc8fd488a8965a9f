// Times of operations, and the plans beside each other.
#include "tools/plan_network.h"

#include <algorithm>
#include <tuple>

namespace smartbird {
namespace {

// Of what ranks send to all others of their group alike, the share that leaves a host: groups and hosts are consecutive ranks.
double share_leaving(int64_t group, int64_t ranks, int64_t hosts) {
  if (group <= 1) return 0;
  const int64_t of_host = ranks / hosts;
  double staying = 0;  // ordered pairs of a group on one host
  for (int64_t begin = 0, end = 0; begin < ranks; begin = end) {
    end = std::min((begin / group + 1) * group, (begin / of_host + 1) * of_host);
    staying += static_cast<double>((end - begin) * (end - begin - 1));
  }
  return 1 - staying / (static_cast<double>(ranks) * static_cast<double>(group - 1));
}

}  // namespace

double communication_s(const Network& network, const PlanCase& plan, const std::map<std::string, Operation>& traffic) {
  if (!network.link || network.hosts == 1) return 0;
  double seconds = 0;
  for (const auto& [what, operation] : traffic) {
    const double share =
        share_leaving(operation.of_everyone ? plan.ranks : plan.sequence_ranks, plan.ranks, network.hosts);
    if (share <= 0) continue;
    seconds += operation.exchanges * network.link->latency_s +
               operation.bytes * share / (static_cast<double>(network.hosts) * network.link->bytes_per_s);
  }
  return seconds;
}

std::vector<ExchangeForecast> forecast_exchanges(const Network& network, const PlanCase& plan) {
  std::vector<ExchangeForecast> out;
  for (ExchangePlan exchange : {ExchangePlan::Rows, ExchangePlan::All, ExchangePlan::Heads}) {
    if (exchange == ExchangePlan::Heads && plan.shape.kv_heads % plan.sequence_ranks != 0) continue;
    PlanCase with = plan;
    with.shape.attention.exchange = exchange;
    const auto traffic = predict_traffic(with);
    ExchangeForecast forecast{.exchange = exchange, .seconds = communication_s(network, with, traffic)};
    for (const auto& [what, operation] : traffic)
      forecast.bytes += operation.bytes, forecast.exchanges += operation.exchanges;
    out.push_back(forecast);
  }
  return out;
}

ExchangePlan cheapest(const std::vector<ExchangeForecast>& forecasts) {
  return std::min_element(forecasts.begin(), forecasts.end(),
                          [](const ExchangeForecast& a, const ExchangeForecast& b) {
                            return std::tie(a.seconds, a.bytes) < std::tie(b.seconds, b.bytes);
                          })
      ->exchange;
}

}  // namespace smartbird
