// Law: memory does not grow with steps: ten thousand of them on four ranks, each over a document of another length.
#include <random>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

TEST(SlowMemory, TenThousandStepsOfRandomLengthsStayFlat) {
  const TempFolder folders;
  {
    std::mt19937 random(1);
    std::ofstream data(folders.path("documents.jsonl"));
    for (int i = 0; i < 2000; ++i) {
      std::string text(1 + random() % 3000, ' ');
      for (char& c : text) c = static_cast<char>('a' + random() % 26);
      data << nlohmann::json{{"text", text}}.dump() << "\n";
    }
  }
  const CommandResult result =
      smartbird(4, "pretrain --run.progress=none --run.dir=" + folders.path("run") +
                       " --data.train=" + folders.path("documents.jsonl") +
                       " --data.sequence_tokens=3100 --train.batch_tokens=1 --train.steps=10000 --eval.at_end=off "
                       "--checkpoint.every=0 --model.layers=1 --model.width=16 --model.heads=2 --attention.picks=8 "
                       "--attention.window=8 --sketch.width=8 --sketch.probes=1 --exchange.plan=auto");
  ASSERT_EQ(result.code, 0) << result.output;
  const TrainingRun run = read_run(folders.path("run"));
  ASSERT_EQ(run.steps.size(), 10000U);
  const auto peak = [&](int step) { return run.steps.at(step).at("peak_memory_bytes").get<double>(); };
  std::printf("peak of the largest rank: %.1f MiB after 1,000 steps, %.1f MiB after 10,000\n", peak(1000) / 1048576,
              peak(10000) / 1048576);
  EXPECT_LE(peak(10000), 1.02 * peak(1000));
}

}  // namespace
}  // namespace smartbird::testing
