// The loops that measure the machine do the work they report.
#include "kernels/machine_rates.h"

#include <gtest/gtest.h>

#include <vector>

namespace smartbird::kernels {
namespace {

TEST(MachineRates, GatherAddsTheRowsItNames) {
  constexpr int64_t kWidth = 32;
  std::vector<float> rows;
  for (int i = 0; i < 5 * kWidth; ++i) rows.push_back(static_cast<float>(i));
  const std::vector<int32_t> index{4, 0, 4};
  std::vector<float> sum(kWidth, 1.0f);
  EXPECT_EQ(run_gather_loop(rows.data(), kWidth, index.data(), 3, sum.data()), 3.0 * kWidth * 4);
  for (int64_t c = 0; c < kWidth; ++c)
    EXPECT_EQ(sum[static_cast<size_t>(c)], 1.0f + static_cast<float>(2 * (4 * kWidth + c) + c));
}

TEST(MachineRates, WorkGrowsWithTheRounds) {
  float result = 0;
  EXPECT_EQ(run_fma_loop(20, &result), 2 * run_fma_loop(10, &result));
  EXPECT_NE(result, 0);
  EXPECT_EQ(run_exp_loop(20, &result), 2 * run_exp_loop(10, &result));
  EXPECT_GT(result, 0);
}

}  // namespace
}  // namespace smartbird::kernels
