// How fast this machine does what a step consists of, measured in a second or two at the start of `smartbird plan`: the best of a
// few short runs on the threads of a rank.
#pragma once

#include <map>

#include "tools/plan_flops.h"

namespace smartbird {

// Flops a second (Rate::Memory: bytes a second) of one rank; no Rate::Scan and Rate::Draw where nothing scores pairs.
[[nodiscard]] std::map<Rate, double> measure_rates(const PlanCase& plan);
[[nodiscard]] const char* name_of(Rate rate);

}  // namespace smartbird
