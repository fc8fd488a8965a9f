// Law: rounding that differs with the number of ranks moves a float32 run less than another draw of the picks does, and
// next to nothing where nothing is drawn.
#include <algorithm>
#include <cmath>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

const std::string kHundred = "--train.steps=100 --eval.at_end=off ";

struct Difference {
  double mean = 0, largest = 0;  // |difference| of the losses of equal steps, nats
};

Difference difference(const TrainingRun& a, const TrainingRun& b) {
  Difference out;
  for (const auto& [step, record] : a.steps) {
    const double d = std::abs(record.at("loss").get<double>() - b.steps.at(step).at("loss").get<double>());
    out.mean += d / static_cast<double>(a.steps.size());
    out.largest = std::max(out.largest, d);
  }
  return out;
}

TEST(LongRuns, EightRanksDifferLessThanTwoDrawSeeds) {
  const TempFolder folders;
  const TrainingRun alone = train_tiny(folders.path("alone"), 1, kHundred),
                    eight = train_tiny(folders.path("eight"), 8, kHundred),
                    other = train_tiny(folders.path("other"), 1, kHundred + "--attention.draw_seed=77");
  ASSERT_EQ(alone.steps.size(), 100u);
  const Difference ranks = difference(alone, eight), draws = difference(alone, other);
  RecordProperty("ranks", std::to_string(ranks.mean));
  RecordProperty("draws", std::to_string(draws.mean));
  EXPECT_GT(draws.mean, 0);
  EXPECT_LT(ranks.mean, draws.mean) << "largest: " << ranks.largest << " and " << draws.largest;
  const double last =
      std::abs(alone.steps.at(100).at("loss").get<double>() - eight.steps.at(100).at("loss").get<double>());
  EXPECT_LT(last, draws.mean) << "at the last step";
}

TEST(LongRuns, DenseModeOnEightRanksIsWithinRounding) {
  const TempFolder folders;
  const std::string dense = kHundred + "--attention.pattern=dense ";
  const Difference ranks =
      difference(train_tiny(folders.path("alone"), 1, dense), train_tiny(folders.path("eight"), 8, dense));
  EXPECT_LT(ranks.largest, 1e-4);
}

}  // namespace
}  // namespace smartbird::testing
