// Cases to plan, from option arguments.
#pragma once

#include "config/parse.h"
#include "tools/plan_case.h"

namespace smartbird::testing {

// `base` with `more`, which wins where both name an option (--section.key=value).
inline std::vector<std::string> with(std::vector<std::string> base, const std::vector<std::string>& more) {
  for (const std::string& argument : more) {
    const std::string name = argument.substr(0, argument.find('=') + 1);
    std::erase_if(base, [&](const std::string& other) { return other.starts_with(name); });
    base.push_back(argument);
  }
  return base;
}

inline PlanCase plan_of(std::vector<std::string> arguments, int64_t ranks = 1) {
  return make_plan_case(parse_options(arguments, nullptr).options, ranks, nullptr);
}

}  // namespace smartbird::testing
