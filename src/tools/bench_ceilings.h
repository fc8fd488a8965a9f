// What this machine can do at most, measured at the start of every benchmark.
#pragma once

#include <nlohmann/json.hpp>

namespace smartbird {

struct Ceilings {
  double fma_gflops = 0;                           // one thread
  double exp_giga = 0;                             // 10^9 exponentials a second, one thread
  double gather_gbps = 0;                          // random rows of row_bytes from footprint_bytes, one thread
  double fma_gflops_all = 0, gather_gbps_all = 0;  // all threads together
  int64_t footprint_bytes = 0, row_bytes = 0;
};

// floats: of one gathered row (rounded up to whole cache lines); rows: how many there are to gather from.
[[nodiscard]] Ceilings measure_ceilings(int64_t threads, int64_t rows, int64_t floats);
[[nodiscard]] nlohmann::json to_json(const Ceilings& ceilings);
// Processor, cores, memory, instruction set.
[[nodiscard]] nlohmann::json describe_hardware();

}  // namespace smartbird
