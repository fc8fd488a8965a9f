// Times of a benchmark: candidates take turns until a time is up; medians and the spread between the quartiles.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/timer.h"

namespace smartbird {

struct Samples {
  std::vector<double> ms;
  [[nodiscard]] double quantile(double q) const {
    if (ms.empty()) return 0;
    std::vector<double> sorted = ms;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
  [[nodiscard]] double median() const { return quantile(0.5); }
  // Distance of the quartiles over the median; 0 of a stage that took no time.
  [[nodiscard]] double spread() const {
    return ms.empty() || median() == 0 ? 0 : (quantile(0.75) - quantile(0.25)) / median();
  }
};

using StageSamples = std::map<std::string, Samples>;

[[nodiscard]] inline std::map<std::string, double> medians(const StageSamples& samples) {
  std::map<std::string, double> out;
  for (const auto& [stage, times] : samples) out[stage] = times.median();
  return out;
}

// A candidate runs once and returns its stages' milliseconds, "total" among them.
using Candidate = std::function<std::map<std::string, double>()>;

// Runs the candidates in turn: `repeats` rounds, or (repeats = 0) until `seconds` have passed, at least 3 and at most 101.
[[nodiscard]] inline std::vector<StageSamples> take_turns(const std::vector<Candidate>& candidates, int64_t repeats,
                                                          double seconds) {
  std::vector<StageSamples> out(candidates.size());
  const Stopwatch watch;
  const int64_t least = repeats > 0 ? repeats : 3, most = repeats > 0 ? repeats : 101;
  for (int64_t round = 0; round < least || (round < most && watch.elapsed_ms() < seconds * 1e3); ++round)
    for (size_t i = 0; i < candidates.size(); ++i)
      for (const auto& [stage, ms] : candidates[i]()) out[i][stage].ms.push_back(ms);
  return out;
}

}  // namespace smartbird
