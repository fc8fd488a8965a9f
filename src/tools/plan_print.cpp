// Tables and JSON of a prediction.
#include "tools/plan_print.h"

#include <cmath>
#include <cstdio>

#include "core/error.h"

namespace smartbird {
namespace {

template <class... Values>
std::string line(const char* format, Values... values) {
  char buffer[400];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return std::string(buffer) + "\n";
}

constexpr double kMiB = 1024.0 * 1024.0;

std::string memory_text(const MemoryPlan& memory) {
  const Moment peak = memory.peak();
  std::string out = "memory of the fullest rank, MiB\n";
  out += line("  %-18s%10s%10s%10s%10s%10s", "", name_of(Moment::Plan), name_of(Moment::Forward), name_of(Moment::Loss),
              name_of(Moment::Backward), name_of(Moment::Update));
  const auto row = [&](const char* name, auto at, const char* formula) {
    out += line("  %-18s%10.1f%10.1f%10.1f%10.1f%10.1f  %s", name, at(Moment::Plan) / kMiB, at(Moment::Forward) / kMiB,
                at(Moment::Loss) / kMiB, at(Moment::Backward) / kMiB, at(Moment::Update) / kMiB, formula);
  };
  for (const MemoryItem& item : memory.items)
    row(
        item.name.c_str(), [&](Moment moment) { return item.at(moment); }, item.formula.c_str());
  row(
      "total", [&](Moment moment) { return memory.total(moment); }, "");
  return out + line("peak memory: %.0f MiB, in moment '%s'", memory.peak_bytes() / kMiB, name_of(peak));
}

std::string traffic_text(const Prediction& p) {
  std::string out =
      line("sent to other ranks in a step by all ranks, MB, for a phi outside halos of %.3f (--phi)", p.plan.phi);
  if (p.traffic.empty()) return out + "  nothing: one rank\n";
  Operation all;
  const auto row = [&](const std::string& what, const Operation& of) {
    out += line("  %-30s%12.3f in %6.0f exchanges of a rank", what.c_str(), of.bytes * 1e-6, of.exchanges);
  };
  for (const auto& [what, operation] : p.traffic) {
    row(what, operation);
    all.bytes += operation.bytes, all.exchanges += operation.exchanges;
  }
  row("total", all);
  if (p.exchanges.empty()) return out;
  out += p.network.link ? join("exchange plans, ranks on ", p.network.hosts, " host(s), each with a link of ",
                               to_text(*p.network.link), "\n")
                        : "exchange plans (--link=LATENCY,RATE and --hosts give their time)\n";
  for (const ExchangeForecast& e : p.exchanges) {
    const char* name = kExchangePlanNames[static_cast<size_t>(e.exchange)];
    out += line("  %-30s%12.3f in %6.0f exchanges of a rank%s", name, e.bytes * 1e-6, e.exchanges,
                p.network.link ? join(", ", std::round(e.seconds * 1e4) / 1e4, " s a step").c_str() : "");
  }
  out += line("  cheapest: %s", kExchangePlanNames[static_cast<size_t>(cheapest(p.exchanges))]);
  return out;
}

}  // namespace

double Prediction::stage_s(const WorkStage& stage) const {
  return stage.all() > 0 ? stage.all() / rates.at(stage.rate) / static_cast<double>(plan.ranks) : 0;
}

double Prediction::step_s() const {
  double sum = 0;
  for (const WorkStage& stage : work) sum += stage_s(stage);
  return sum;
}

std::string to_text(const Prediction& p) {
  const ParameterCounts parameters = count_parameters(p.plan.shape);
  const Layout layout = p.plan.layout_of(p.plan.largest_stream());
  std::string out =
      join("model: ", parameters.model, " parameters + ", parameters.sketch, " of the sketch; ranks: ", p.plan.ranks,
           " (", p.plan.ranks / p.plan.sequence_ranks, " replica(s) x ", p.plan.sequence_ranks,
           " sequence rank(s)); step: ", p.plan.step_tokens(), " tokens in ", p.plan.streams.size(),
           " stream(s), the largest of ", layout.num_tokens(), "\n\n");
  out += memory_text(p.memory);
  out += line("\nwork of a step over all ranks, 10^9\n  %-20s%12s%12s%12s", "", "forward", "backward", "seconds");
  double forward = 0, backward = 0;
  for (const WorkStage& stage : p.work) {
    out += line("  %-20s%12.3f%12.3f%12.3f", stage.name.c_str(), stage.forward * 1e-9, stage.backward * 1e-9,
                p.stage_s(stage));
    if (stage.rate != Rate::Memory) forward += stage.forward, backward += stage.backward;
  }
  out += line("  %-20s%12.3f%12.3f%12.3f", "total (flops)", forward * 1e-9, backward * 1e-9, p.step_s());
  out += "rates of a rank, measured now:";
  for (const auto& [rate, value] : p.rates)
    out += join(rate == p.rates.begin()->first ? " " : ", ", name_of(rate), " ", std::round(value * 1e-8) / 10,
                rate == Rate::Memory ? " GB/s" : " Gflop/s");
  out += line("\ntime: %.2f s a step, %.0f tokens/s, without communication\n", p.step_s(),
              static_cast<double>(p.plan.step_tokens()) / p.step_s());
  return out + traffic_text(p);
}

nlohmann::json to_json(const Prediction& p) {
  nlohmann::json out;
  out["parameters"] = count_parameters(p.plan.shape).all();
  out["ranks"] = p.plan.ranks, out["step_tokens"] = p.plan.step_tokens(), out["phi"] = p.plan.phi;
  out["memory"]["peak_bytes"] = p.memory.peak_bytes();
  out["memory"]["peak_moment"] = name_of(p.memory.peak());
  for (Moment moment : kMoments) out["memory"]["moments"][name_of(moment)] = p.memory.total(moment);
  for (const MemoryItem& item : p.memory.items) {
    nlohmann::json& entry = out["memory"]["items"][item.name];
    entry["formula"] = item.formula;
    for (Moment moment : kMoments) entry[name_of(moment)] = item.at(moment);
  }
  for (const WorkStage& stage : p.work)
    out["work"][stage.name] = {{"forward", stage.forward},
                               {"backward", stage.backward},
                               {"unit", stage.rate == Rate::Memory ? "bytes" : "flops"},
                               {"seconds", p.stage_s(stage)}};
  for (const auto& [rate, value] : p.rates) out["rates_per_s"][name_of(rate)] = value;
  out["step_s"] = p.step_s();
  for (const auto& [what, operation] : p.traffic)
    out["sent_bytes"][what] = operation.bytes, out["exchanges"][what] = operation.exchanges;
  out["hosts"] = p.network.hosts;
  if (p.network.link)
    out["link"] = {{"latency_s", p.network.link->latency_s}, {"bytes_per_s", p.network.link->bytes_per_s}};
  for (const ExchangeForecast& e : p.exchanges)
    out["exchange_plans"][kExchangePlanNames[static_cast<size_t>(e.exchange)]] = {
        {"bytes", e.bytes}, {"exchanges", e.exchanges}, {"seconds", e.seconds}};
  if (!p.exchanges.empty()) out["cheapest_plan"] = kExchangePlanNames[static_cast<size_t>(cheapest(p.exchanges))];
  return out;
}

}  // namespace smartbird
