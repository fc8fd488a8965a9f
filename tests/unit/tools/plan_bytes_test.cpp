// Predicted traffic against hand-counted cases.
#include "tools/plan_bytes.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/tools/plan_case.h"

namespace smartbird::testing {
namespace {

const std::vector<std::string> kSmall{"--data.sequence_tokens=24", "--train.batch_tokens=24", "--model.layers=2",
                                      "--model.width=8",           "--model.heads=2",         "--model.kv_heads=1",
                                      "--attention.window=2",      "--attention.picks=3",     "--sketch.width=4",
                                      "--attention.share=8"};

std::map<std::string, double> bytes_of(const PlanCase& plan) {
  std::map<std::string, double> out;
  for (const auto& [what, operation] : predict_traffic(plan)) out[what] = operation.bytes;
  return out;
}

TEST(PlanBytes, OneRankSendsNothing) { EXPECT_TRUE(predict_traffic(plan_of(kSmall)).empty()); }

TEST(PlanBytes, OperationsAreThoseCountedByHand) {
  PlanCase plan = plan_of(kSmall, 3);  // 8 tokens a rank, D = 4, G = 1, M = 4, M' = 8
  plan.phi = 0.25;
  const auto sent = bytes_of(plan);
  EXPECT_EQ(sent.at("sketch_keys"), 4 * 4 * 24 * 2);
  EXPECT_EQ(sent.at("row_ids"), 4 * 0.25 * 24 * 2);
  EXPECT_EQ(sent.at("rows"), 2 * (4 * 2 * 4) * 0.25 * 24 * 2);
  EXPECT_EQ(sent.at("rows_backward"), sent.at("rows"));
  EXPECT_EQ(sent.at("band_halo"), 2 * (4 * 2 * 4) * 2 * 2) << "two cuts, the two rows before each";
  EXPECT_EQ(sent.at("convolution_halo"), 4 * 8 * 3 * 2) << "two cuts, the three rows before each";
  EXPECT_EQ(sent.at("gradients"), 4.0 * static_cast<double>(count_parameters(plan.shape).all()) * 2);
  EXPECT_FALSE(sent.contains("query_halo"));
}

TEST(PlanBytes, FetchingAllSendsEveryForeignRow) {
  const PlanCase plan = plan_of(with(kSmall, {"--exchange.plan=all"}), 3);
  const auto sent = bytes_of(plan);
  EXPECT_EQ(sent.at("rows"), 2 * (4 * 2 * 4) * 24 * 2);
  EXPECT_FALSE(sent.contains("band_halo") || sent.contains("row_ids"));
}

// What is attended travels in half the bytes of float32; sketches, ids, log π and gradients of weights do not.
TEST(PlanBytes, FactorsInBfloat16HalveWhatIsAttended) {
  for (const std::string exchange : {"rows", "heads"}) {
    PlanCase plan = plan_of(with(kSmall, {"--exchange.plan=" + exchange, "--model.kv_heads=2"}), 2);
    plan.phi = 0.25;
    const auto wide = bytes_of(plan);
    plan.shape.factors = Factors::Bfloat16;
    const auto narrow = bytes_of(plan);
    int halved = 0;
    for (const auto& [what, bytes] : wide) {
      const bool attended = what.starts_with("rows") || what.starts_with("head_") || what.starts_with("band_halo");
      EXPECT_EQ(narrow.at(what), attended ? bytes / 2 : bytes) << what;
      halved += attended ? 1 : 0;
    }
    EXPECT_GE(halved, 4) << exchange;
    const ExchangeUse use = exchange_use(plan.shape, Pattern::Sparse, 0, 4);
    EXPECT_EQ(use.element_bytes, 2);
    EXPECT_EQ(use.kv_element_bytes, 2);
    EXPECT_EQ(use.log_pi_bytes, 4);
  }
}

TEST(PlanBytes, ExchangesAreThoseOfOneRank) {
  PlanCase plan = plan_of(with(kSmall, {"--memory.rows=fetch_again", "--train.batch_tokens=48"}), 3);
  plan.phi = 0.25;  // one stream of two sequences, two sparse layers
  const auto traffic = predict_traffic(plan);
  EXPECT_EQ(traffic.at("sketch_keys").exchanges, 1);
  EXPECT_EQ(traffic.at("rows").exchanges, 2);
  EXPECT_EQ(traffic.at("rows_again").exchanges, 2);
  EXPECT_EQ(traffic.at("gradients").exchanges, 1);
  EXPECT_TRUE(traffic.at("gradients").of_everyone);
}

TEST(PlanBytes, ExpectedPhiFallsWithSharing) {
  EXPECT_NEAR(plan_of(with(kSmall, {"--attention.share=1"}), 3).phi, 0.5 * (1 - std::exp(-3.0 / 3)), 1e-12);
  EXPECT_NEAR(plan_of(kSmall, 3).phi, 0.5 * (1 - std::exp(-2 * 3.0 / (3 * 8))), 1e-12);
  EXPECT_NEAR(plan_of(with(kSmall, {"--data.task=mlm"}), 3).phi, 2 * plan_of(kSmall, 3).phi, 1e-12);
  EXPECT_EQ(plan_of(kSmall, 1).phi, 0);
}

}  // namespace
}  // namespace smartbird::testing
