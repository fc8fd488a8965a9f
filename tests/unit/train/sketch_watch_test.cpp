// The sentence about a sketch that does not learn comes once, when it is true, and for draws that follow a sketch.
#include "train/sketch_watch.h"

#include <gtest/gtest.h>

#include "config/parse.h"

namespace smartbird {
namespace {

Options options_with(const std::vector<std::string>& arguments) { return parse_options(arguments, nullptr).options; }

// The sentences of so many steps alike.
std::vector<std::string> watched(SketchWatch& watch, int steps, double caught, double uniform, int64_t step = 1000) {
  std::vector<std::string> out;
  for (int i = 0; i < steps; ++i) {
    StepRecord record;
    record.step = step++;
    record.coverage_domain = caught, record.coverage_uniform = uniform;
    if (const std::string sentence = watch.step(record); !sentence.empty()) out.push_back(sentence);
  }
  return out;
}

TEST(SketchWatch, SpeaksOnceOfASketchThatIsNoBetterThanUniform) {
  SketchWatch watch(options_with({}));
  EXPECT_TRUE(watched(watch, 199, 0.03, 0.03).empty());
  const auto said = watched(watch, 1, 0.03, 0.03);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(
      said[0].rfind("warning: in the last 200 steps the picks held 3.0 % of the attention in their domain, uniform "
                    "ones would have held 3.0 %",
                    0),
      0U)
      << said[0];
  EXPECT_TRUE(watched(watch, 1000, 0.03, 0.03).empty());
}

// The means of a ListOps run whose sketch had learned nothing in 1,000 steps.
TEST(SketchWatch, ALittleMoreThanUniformIsNothing) {
  SketchWatch watch(options_with({}));
  EXPECT_EQ(watched(watch, 200, 0.031385, 0.031054).size(), 1U);
}

TEST(SketchWatch, AnEarlierBetterTimeDoesNotExcuse) {
  SketchWatch watch(options_with({}));
  EXPECT_TRUE(watched(watch, 200, 0.5, 0.03).empty());
  EXPECT_EQ(watched(watch, 200, 0.03, 0.03).size(), 1U);
}

TEST(SketchWatch, KeepsSilentWhereThereIsNothingToSay) {
  SketchWatch learning(options_with({}));
  EXPECT_TRUE(watched(learning, 1000, 0.031, 0.03).empty());
  EXPECT_TRUE(watched(learning, 1000, 0.95, 0.94).empty());
  SketchWatch warming(options_with({"--attention.share_warmup_steps=600"}));
  EXPECT_TRUE(watched(warming, 600, 0.03, 0.03, 1).empty());
  EXPECT_EQ(watched(warming, 200, 0.03, 0.03, 601).size(), 1U);
  SketchWatch no_probes_in_a_step(options_with({}));
  EXPECT_TRUE(watched(no_probes_in_a_step, 1000, 0, 0).empty());
  SketchWatch all_are_picked(options_with({}));
  EXPECT_TRUE(watched(all_are_picked, 1000, 1, 1).empty());
  for (const char* argument :
       {"--attention.draw=uniform", "--attention.draw=none", "--attention.draw=oracle", "--attention.draw=bigbird",
        "--attention.pattern=dense", "--sketch.probes=0", "--attention.picks=0"}) {
    SketchWatch other(options_with({argument}));
    EXPECT_TRUE(watched(other, 1000, 0.03, 0.03).empty()) << argument;
  }
}

}  // namespace
}  // namespace smartbird
