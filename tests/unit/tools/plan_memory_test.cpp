// What the memory model must say of itself: sums, and which way it moves.
#include "tools/plan_memory.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "tests/unit/tools/plan_case.h"

namespace smartbird::testing {
namespace {

std::vector<std::string> tokens(int64_t count, std::vector<std::string> more = {}) {
  std::vector<std::string> out{"--data.sequence_tokens=" + std::to_string(count),
                               "--train.batch_tokens=" + std::to_string(count)};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

double peak(const std::vector<std::string>& arguments, int64_t ranks = 1) {
  return predict_memory(plan_of(arguments, ranks), {}).peak_bytes();
}

TEST(PlanMemory, ThePeakIsTheLargestSumOfItems) {
  const MemoryPlan plan = predict_memory(plan_of(tokens(8192)), {1e6, 1e6});
  double largest = 0;
  for (Moment moment : kMoments) {
    double sum = 0;
    for (const MemoryItem& item : plan.items) sum += item.at(moment);
    EXPECT_DOUBLE_EQ(sum, plan.total(moment));
    largest = std::max(largest, sum);
  }
  EXPECT_DOUBLE_EQ(plan.peak_bytes(), largest);
}

TEST(PlanMemory, LibrariesAndDataCountOnce) {
  const auto arguments = tokens(4096);
  EXPECT_NEAR(predict_memory(plan_of(arguments), {5e6, 7e6}).peak_bytes(), peak(arguments) + 12e6, 1);
}

TEST(PlanMemory, TokensCostAndRanksMicroStepsAndRecomputationSave) {
  EXPECT_NEAR(peak(tokens(65536)) / peak(tokens(32768)), 2, 0.2) << "linear in tokens";
  EXPECT_LT(peak(tokens(32768), 4), 0.5 * peak(tokens(32768)));
  EXPECT_LT(peak(tokens(32768, {"--memory.recompute=layer"})), 0.7 * peak(tokens(32768)));
  const std::vector<std::string> micro{"--data.sequence_tokens=1024", "--train.batch_tokens=32768",
                                       "--train.micro_tokens=4096"};
  EXPECT_LT(peak(micro), 0.3 * peak(tokens(32768)));
  EXPECT_GT(peak(tokens(32768, {"--run.dtype=float64"})), 1.7 * peak(tokens(32768)));
}

TEST(PlanMemory, FetchedRowsAndPicksCost) {
  EXPECT_GT(peak(tokens(32768, {"--exchange.plan=all"}), 4), peak(tokens(32768), 4));
  EXPECT_GT(peak(tokens(32768, {"--attention.picks=512"})), peak(tokens(32768)));
}

// What a thread keeps of every block and head: keys and scores of twice K and a leaf; of a block whose budget is filled the scores of as
// many as its budget of 3,686, of 48 and of a leaf.
TEST(PlanMemory, ADrawThatLooksForTheBestKeepsThemAside) {
  const auto draw = [](const std::string& mode, const std::string& fill = "auto") {
    const auto plan =
        plan_of(tokens(32768, {"--attention.picks=4096", "--attention.draw=" + mode, "--attention.fill=" + fill}));
    for (const MemoryItem& item : predict_memory(plan, {}).items)
      if (item.name == "draw") return item.at(kMoments[0]);
    return 0.0;
  };
  const double threads = omp_get_max_threads(), heads = plan_of(tokens(32768)).shape.attention.pick_heads;
  const double plain = draw("poisson", "off");
  EXPECT_EQ(draw("topk") - plain, threads * 64 * (2 * 4096 + 128 + 16) * 8);
  EXPECT_EQ(draw("poisson") - plain, threads * 64 * (3686 + 48 + 128 + 16 + 10) * 4);
  EXPECT_EQ(draw("gumbel") - plain, threads * 64 * heads * (2 * 4097 + 128 + 16) * 8);
}

}  // namespace
}  // namespace smartbird::testing
