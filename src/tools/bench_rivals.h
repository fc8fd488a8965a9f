// What the sparse attention operator is measured against, in the same process and on the same inputs.
#pragma once

#include "tools/bench_check.h"
#include "tools/bench_times.h"

namespace smartbird {

// Runs once: forward and backward, each timed; ms gets "forward", "backward", "total".
struct BenchRival {
  std::function<BenchAnswer(std::map<std::string, double>& ms)> run;
  double flops = 0;                     // of its products, forward and backward
  std::shared_ptr<const Plan> attends;  // what its answer is checked against
};

// sdpa: at::scaled_dot_product_attention of the linked LibTorch on contiguous [1, H, N, D]. dense, window: our operator
// with that pattern. torch: the same picks as ours by index_select and matrix products, in chunks of rows.
// `plan` is ours and must live as long as the rival, as must `input`.
[[nodiscard]] BenchRival make_rival(const BenchOptions& options, BenchInput& input, const Plan& plan);

// One forward and backward pass of our operator along a plan, timed the same way.
[[nodiscard]] BenchAnswer run_along(BenchInput& input, const Plan& plan, std::map<std::string, double>& ms);

// Pairs of a row and a key that a plan attends, over all heads.
[[nodiscard]] double attended_pairs(const Plan& plan);

}  // namespace smartbird
