// Law: on a trained model, rows that share random numbers want far fewer remote rows (phi) than rows that draw alone, and
// the loss stays within what another draw seed changes. Trains configs/books.ini first, which takes minutes.
#include <algorithm>
#include <vector>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

constexpr int kTrained = 800, kMeasured = 20;  // steps

struct Measured {
  double phi = 0, loss = 0;  // means over the measured steps
};

// Trains the model on for some steps on 8 ranks, one sequence of 4,096 tokens a step.
Measured go_on(const TempFolder& folders, const std::string& share, int draw_seed) {
  const std::string folder = folders.path("share" + share + "_" + std::to_string(draw_seed));
  const CommandResult result = smartbird(
      8,
      "pretrain --config configs/books.ini --run.dir=" + folder + " --run.resume=" + folders.path("books") +
          " --run.allow_change=data.sequence_tokens,attention.share,attention.draw_seed --data.sequence_tokens=4096" +
          " --train.steps=" + std::to_string(kTrained + kMeasured) + " --attention.share=" + share +
          " --attention.draw_seed=" + std::to_string(draw_seed) + " --eval.at_end=off");
  EXPECT_EQ(result.code, 0) << result.output;
  Measured out;
  int steps = 0;
  for (const auto& [step, record] : read_run(folder).steps) {
    if (step <= kTrained) continue;
    out.phi += record.at("phi").get<double>(), out.loss += record.at("loss").get<double>(), ++steps;
  }
  EXPECT_EQ(steps, kMeasured);
  out.phi /= kMeasured, out.loss /= kMeasured;
  return out;
}

struct Spread {
  double mean_phi = 0, mean_loss = 0, smallest_loss = 1e9, largest_loss = 0;
};

Spread over_seeds(const TempFolder& folders, const std::string& share) {
  constexpr int kSeeds = 3;
  Spread out;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const Measured m = go_on(folders, share, seed);
    out.mean_phi += m.phi / kSeeds, out.mean_loss += m.loss / kSeeds;
    out.smallest_loss = std::min(out.smallest_loss, m.loss), out.largest_loss = std::max(out.largest_loss, m.loss);
  }
  return out;
}

TEST(SlowCoordination, SharedNumbersNeedHalfTheRowsAtEqualLoss) {
  const TempFolder folders;
  const CommandResult trained =
      smartbird(2, "pretrain --config configs/books.ini --eval.at_end=off --run.dir=" + folders.path("books"));
  ASSERT_EQ(trained.code, 0) << trained.output;
  const Spread shared = over_seeds(folders, "64"), alone = over_seeds(folders, "1");
  std::printf("phi %.4f shared, %.4f alone; loss %.5f (%.5f to %.5f) shared, %.5f (%.5f to %.5f) alone\n",
              shared.mean_phi, alone.mean_phi, shared.mean_loss, shared.smallest_loss, shared.largest_loss,
              alone.mean_loss, alone.smallest_loss, alone.largest_loss);
  EXPECT_LE(shared.mean_phi, alone.mean_phi / 2);
  const double spread = std::max(shared.largest_loss - shared.smallest_loss, alone.largest_loss - alone.smallest_loss);
  EXPECT_LE(std::abs(shared.mean_loss - alone.mean_loss), spread);
}

}  // namespace
}  // namespace smartbird::testing
