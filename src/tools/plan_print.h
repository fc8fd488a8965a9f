// What `smartbird plan` prints and writes: memory by item, work and time by stage, traffic by operation.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/plan_bytes.h"
#include "tools/plan_memory.h"
#include "tools/plan_rates.h"

namespace smartbird {

struct Prediction {
  PlanCase plan;
  MemoryPlan memory;
  std::vector<WorkStage> work;
  std::map<std::string, double> sent_bytes;
  std::map<Rate, double> rates;                                // a second and rank
  [[nodiscard]] double stage_s(const WorkStage& stage) const;  // its work shared by all ranks
  [[nodiscard]] double step_s() const;
};

[[nodiscard]] std::string to_text(const Prediction& prediction);
[[nodiscard]] nlohmann::json to_json(const Prediction& prediction);

}  // namespace smartbird
