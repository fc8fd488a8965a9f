// Predicted work against what is counted by hand, pair by pair; parameters against the model's own.
#include "tools/plan_flops.h"

#include <gtest/gtest.h>

#include "model/transformer.h"
#include "tests/unit/tools/plan_case.h"

namespace smartbird::testing {
namespace {

const std::vector<std::string> kSmall{"--data.sequence_tokens=10", "--train.batch_tokens=20", "--model.layers=2",
                                      "--model.width=8",           "--model.heads=2",         "--model.kv_heads=1",
                                      "--model.mlp_width=16",      "--attention.window=2",    "--attention.picks=3",
                                      "--sketch.width=4",          "--sketch.probes=0"};

std::vector<std::string> small_and(const std::vector<std::string>& more) { return with(kSmall, more); }

WorkStage stage(const PlanCase& plan, const std::string& name) {
  for (const WorkStage& s : predict_work(plan))
    if (s.name == name) return s;
  ADD_FAILURE() << "no stage " << name;
  return {};
}

TEST(PlanFlops, PairsOfACausalSequenceAreThoseCountedByHand) {
  const PairCounts pairs = count_pairs(plan_of(kSmall));  // two sequences of 10, b = 1, W = 2, K = 3
  EXPECT_EQ(pairs.tokens, 20);
  EXPECT_EQ(pairs.blocks, 20);
  EXPECT_EQ(pairs.band, 2 * (1 + 2 + 8 * 3));                          // keys i-2 .. i
  EXPECT_EQ(pairs.scan, 2 * (0 + 0 + 0 + 1 + 2 + 3 + 4 + 5 + 6 + 7));  // keys 0 .. i-3
  EXPECT_EQ(pairs.picks, 2 * (1 + 2 + 3 + 3 + 3 + 3 + 3));             // never more than K
  EXPECT_EQ(pairs.dense, 2 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10));
}

TEST(PlanFlops, PairsOfBidirectionalBlocksAreThoseCountedByHand) {
  const PairCounts pairs = count_pairs(plan_of(small_and({"--data.task=mlm", "--attention.query_block=4"})));
  EXPECT_EQ(pairs.blocks, 6);                          // rows 0-3, 4-7, 8-9 of both
  EXPECT_EQ(pairs.band, 2 * (4 * 6 + 4 * 8 + 2 * 4));  // keys 0-5, 2-9, 6-9
  EXPECT_EQ(pairs.scan, 2 * (4 + 2 + 6));
  EXPECT_EQ(pairs.picks, 2 * (4 * 3 + 4 * 2 + 2 * 3));
}

TEST(PlanFlops, StagesAreThoseCountedByHand) {
  const PlanCase plan = plan_of(kSmall);  // C = HD = 8, GD = 4, F = 16, M = 4, M' = 8, V = 258
  const double layers = 2, t = 20;
  EXPECT_EQ(stage(plan, "projections").forward, layers * 2 * t * (8 * 8 + 8 * 4 + 8 * 4 + 8 * 8));
  EXPECT_EQ(stage(plan, "projections").backward, 2 * stage(plan, "projections").forward);
  EXPECT_EQ(stage(plan, "MLP").forward, layers * 2 * t * 3 * 8 * 16);
  EXPECT_EQ(stage(plan, "loss").forward, 3 * 2 * t * 8 * 258);
  EXPECT_NEAR(stage(plan_of(small_and({"--data.task=mlm", "--data.mask_share=0.2"})), "loss").forward,
              0.2 * 3 * 2 * t * 8 * 258, 1e-9);
  EXPECT_EQ(stage(plan, "scan").forward, 2 * 4 * 56);
  EXPECT_EQ(stage(plan, "draw").forward, 2 * 4 * 56);
  EXPECT_EQ(stage(plan, "band").forward, layers * 4 * 8 * 54);
  EXPECT_EQ(stage(plan, "band").backward, layers * 10 * 8 * 54);
  EXPECT_EQ(stage(plan, "picks").forward, layers * 4 * 8 * 36);
  EXPECT_EQ(stage(plan, "probes").forward, 0);
}

TEST(PlanFlops, ADrawIsCountedForWhatItReads) {
  const double scores = 2 * 4 * 56;
  for (const char* draw : {"poisson", "systematic", "gumbel", "iid"}) {
    const PlanCase plan = plan_of(small_and({std::string("--attention.draw=") + draw}));
    EXPECT_EQ(stage(plan, "scan").forward, scores) << draw;
    EXPECT_EQ(stage(plan, "draw").forward, scores) << draw;
  }
  const PlanCase best = plan_of(small_and({"--attention.draw=topk"}));
  EXPECT_EQ(stage(best, "scan").forward, 0) << "the largest scores need no sum";
  EXPECT_EQ(stage(best, "draw").forward, scores);
  for (const char* draw : {"uniform", "bigbird", "none"}) {
    const PlanCase plan = plan_of(small_and({std::string("--attention.draw=") + draw}));
    EXPECT_EQ(stage(plan, "scan").all() + stage(plan, "draw").all(), 0) << draw;
  }
}

TEST(PlanFlops, RecomputationRunsLayersForwardAgain) {
  const PlanCase kept = plan_of(kSmall), again = plan_of(small_and({"--memory.recompute=layer"}));
  for (const char* name : {"projections", "band", "picks"})
    EXPECT_EQ(stage(again, name).backward, stage(kept, name).backward + stage(kept, name).forward) << name;
  const double gate_and_up = 2 * 2 * 20.0 * 2 * 8 * 16;
  EXPECT_EQ(stage(again, "MLP").backward, stage(kept, "MLP").backward + gate_and_up);
  EXPECT_EQ(stage(plan_of(small_and({"--memory.recompute=mlp"})), "MLP").all(), stage(again, "MLP").all());
  EXPECT_EQ(stage(again, "scan").backward, 0) << "picks are replayed, not drawn again";
}

TEST(PlanFlops, DenseLayersVisitAllVisibleKeys) {
  const PlanCase plan = plan_of(small_and({"--attention.pattern=dense, sparse"}));
  EXPECT_EQ(stage(plan, "band").forward, 4 * 8 * (54 + 110));
  EXPECT_EQ(stage(plan, "picks").forward, 4 * 8 * 36);
}

TEST(PlanFlops, WorkDoesNotDependOnRanksAndMicroSteps) {
  const PlanCase alone = plan_of(kSmall);
  for (const PlanCase& other : {plan_of(kSmall, 3), plan_of(small_and({"--train.micro_tokens=10"})),
                                plan_of(small_and({"--parallel.sequence_ranks=1"}), 2)}) {
    for (const WorkStage& s : predict_work(alone)) EXPECT_EQ(stage(other, s.name).all(), s.all()) << s.name;
  }
}

TEST(PlanFlops, ParametersAreThoseOfTheModel) {
  for (const std::vector<std::string>& more : {std::vector<std::string>{},
                                               {"--model.tie_embeddings=off", "--sketch.convolution=0"},
                                               {"--attention.pattern=window"},
                                               {"--sketch.location=layer", "--model.layers=3", "--sketch.every=2"},
                                               {"--model.norm=layer", "--model.kv_heads=2"}}) {
    const PlanCase plan = plan_of(small_and(more));
    const Transformer model(plan.shape, at::kFloat, 1);
    const ParameterCounts counts = count_parameters(plan.shape);
    EXPECT_EQ(counts.model, model.parameters().sketch_begin()) << ::testing::PrintToString(more);
    EXPECT_EQ(counts.all(), model.parameters().size()) << ::testing::PrintToString(more);
  }
}

TEST(PlanFlops, ParametersOfALabelHeadAreThoseOfTheModel) {
  for (const char* pooling : {"mean", "first", "attention", "statistics"}) {
    const Options o =
        parse_options(small_and({"--data.task=classify", std::string("--model.pooling=") + pooling}), nullptr).options;
    const ModelShape shape = make_shape(o, 258, 5);
    EXPECT_EQ(count_parameters(shape).all(), Transformer(shape, at::kFloat, 1).parameters().size()) << pooling;
  }
}

}  // namespace
}  // namespace smartbird::testing
