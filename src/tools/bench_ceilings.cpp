// Measures the machine by the loops of kernels/machine_rates.h: the best of several short runs.
#include "tools/bench_ceilings.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/philox.h"
#include "core/timer.h"
#include "kernels/instruction_set.h"
#include "kernels/machine_rates.h"

namespace smartbird {
namespace {

// Work a second of `threads` threads that run the loop at once; work(thread) does a few milliseconds' worth.
double best_rate(int64_t threads, const std::function<double(int)>& work) {
  double best = 0;
  for (int repeat = 0; repeat < 15; ++repeat) {
    double done = 0, ms = 0;
#pragma omp parallel num_threads(static_cast <int>(threads)) reduction(+ : done) reduction(max : ms)
    {
      const int thread = omp_get_thread_num();
#pragma omp barrier
      const Stopwatch watch;
      done = work(thread);
      ms = watch.elapsed_ms();
    }
    best = std::max(best, done / (ms * 1e-3));
  }
  return best;
}

}  // namespace

Ceilings measure_ceilings(int64_t threads, int64_t rows, int64_t floats) {
  const int64_t row_floats = (floats + 15) / 16 * 16;
  Ceilings out;
  std::vector<float> results(static_cast<size_t>(threads));
  const auto fma = [&](int thread) { return kernels::run_fma_loop(200000, &results[static_cast<size_t>(thread)]); };
  out.fma_gflops = best_rate(1, fma) * 1e-9;
  out.fma_gflops_all = best_rate(threads, fma) * 1e-9;
  out.exp_giga = best_rate(1, [&](int) { return kernels::run_exp_loop(100000, results.data()); }) * 1e-9;
  constexpr int64_t kCount = 40000;
  std::vector<float> data(static_cast<size_t>(rows * row_floats), 1.0f);
  std::vector<std::vector<int32_t>> index(static_cast<size_t>(threads));
  for (size_t thread = 0; thread < index.size(); ++thread)
    for (int64_t i = 0; i < kCount; ++i)
      index[thread].push_back(
          static_cast<int32_t>(uniform_at(philox_key(1, 0, Purpose::Tool), thread, static_cast<uint32_t>(i), 0, 0) *
                               static_cast<double>(rows)));
  const auto gather = [&](int thread) {
    std::vector<float> sum(static_cast<size_t>(row_floats), 0.0f);
    return kernels::run_gather_loop(data.data(), row_floats, index[static_cast<size_t>(thread)].data(), kCount,
                                    sum.data());
  };
  out.gather_gbps = best_rate(1, gather) * 1e-9;
  out.gather_gbps_all = best_rate(threads, gather) * 1e-9;
  out.row_bytes = row_floats * static_cast<int64_t>(sizeof(float)), out.footprint_bytes = rows * out.row_bytes;
  return out;
}

nlohmann::json to_json(const Ceilings& c) {
  return {{"fma_gflops", c.fma_gflops},
          {"fma_gflops_all_threads", c.fma_gflops_all},
          {"exp_giga_per_s", c.exp_giga},
          {"gather_gb_per_s", c.gather_gbps},
          {"gather_gb_per_s_all_threads", c.gather_gbps_all},
          {"gather_row_bytes", c.row_bytes},
          {"gather_footprint_bytes", c.footprint_bytes}};
}

nlohmann::json describe_hardware() {
  std::string model = "unknown", line;
  std::ifstream info("/proc/cpuinfo");
  while (std::getline(info, line))
    if (line.starts_with("model name")) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  const double bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  double load = 0;  // what else keeps the cores busy
  getloadavg(&load, 1);
  return {{"processor", model},
          {"load_average", load},
          {"cores", std::thread::hardware_concurrency()},
          {"memory_gib", bytes / (1 << 30)},
          {"instruction_set", kernels::instruction_set()}};
}

}  // namespace smartbird
