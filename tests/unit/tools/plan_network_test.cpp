// Time on a network against hand-counted cases; the cheapest plan.
#include "tools/plan_network.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/plan_case.h"

namespace smartbird::testing {
namespace {

const std::vector<std::string> kCase{"--data.sequence_tokens=4096", "--train.batch_tokens=4096", "--model.width=64",
                                     "--model.kv_heads=4"};

TEST(PlanNetwork, WithinAHostBytesTakeNoTime) {
  const PlanCase plan = plan_of(kCase, 4);
  EXPECT_EQ(communication_s({1, Link{1, 1}}, plan, predict_traffic(plan)), 0);
  EXPECT_EQ(communication_s({4, {}}, plan, predict_traffic(plan)), 0) << "no link, no time";
}

TEST(PlanNetwork, TimeIsLatencyAndBytesThatLeaveAHost) {
  const PlanCase plan = plan_of(kCase, 4);
  const std::map<std::string, Operation> traffic{{"rows", {1000, 3, false}}};
  EXPECT_DOUBLE_EQ(communication_s({4, Link{0.5, 100}}, plan, traffic), 3 * 0.5 + 1000.0 / 4 / 100);
  EXPECT_DOUBLE_EQ(communication_s({2, Link{0.5, 100}}, plan, traffic), 3 * 0.5 + 1000.0 * (2.0 / 3) / 2 / 100)
      << "a third of a rank's bytes stays on its host";
  const PlanCase pairs = plan_of(with(kCase, {"--parallel.sequence_ranks=2", "--train.batch_tokens=8192"}), 4);
  EXPECT_EQ(communication_s({2, Link{0.5, 100}}, pairs, traffic), 0) << "sequence groups lie within hosts";
  const PlanCase fours = plan_of(with(kCase, {"--parallel.sequence_ranks=4", "--train.batch_tokens=12288"}), 12);
  EXPECT_DOUBLE_EQ(communication_s({2, Link{0.5, 100}}, fours, traffic), 3 * 0.5 + 1000 * (2.0 / 9) / 2 / 100)
      << "of three groups of four the middle one lies on both hosts: 8 of its 12 pairs, of 36 in all";
  EXPECT_GT(communication_s({2, Link{0.5, 100}}, pairs, {{"gradients", {1000, 1, true}}}), 0);
}

TEST(PlanNetwork, TheCheapestPlanFollowsThePicks) {
  PlanCase plan = plan_of(kCase, 4);
  const Network network{4, Link{1e-3, 1e6}};
  plan.phi = 0.01;
  EXPECT_EQ(cheapest(forecast_exchanges(network, plan)), ExchangePlan::Rows);
  plan.phi = 1;
  EXPECT_EQ(cheapest(forecast_exchanges(network, plan)), ExchangePlan::Heads);
  const auto three = forecast_exchanges({3, network.link}, plan_of(kCase, 3));
  EXPECT_EQ(three.size(), 2U) << "4 kv heads cannot be dealt to 3 ranks";
}

}  // namespace
}  // namespace smartbird::testing
