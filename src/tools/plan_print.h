// What `smartbird plan` prints and writes: memory by item, work and time by stage, traffic by operation.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/plan_memory.h"
#include "tools/plan_network.h"
#include "tools/plan_rates.h"

namespace smartbird {

struct Prediction {
  PlanCase plan;
  MemoryPlan memory;
  std::vector<WorkStage> work;
  std::map<std::string, Operation> traffic;
  Network network;
  std::vector<ExchangeForecast> exchanges;  // every plan that is possible, where ranks share a stream
  std::map<Rate, double> rates;             // a second and rank
  [[nodiscard]] double stage_s(const WorkStage& stage) const;  // its work shared by all ranks
  [[nodiscard]] double step_s() const;                         // without communication
};

[[nodiscard]] std::string to_text(const Prediction& prediction);
[[nodiscard]] nlohmann::json to_json(const Prediction& prediction);

}  // namespace smartbird
