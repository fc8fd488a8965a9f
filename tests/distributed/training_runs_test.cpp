// Law, on real processes: the number of ranks, their split into replicas, the micro-steps, the exchange plan and an
// interruption change no pick and, beyond rounding, no loss and no gradient norm.
#include <cmath>
#include <set>

#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

const std::string kFive = "--run.dtype=float64 --train.stop_after=5 --eval.at_end=off ";

TEST(TrainingRuns, RanksReplicasMicroStepsAndPlansChangeNothing) {
  const TempFolder folders;
  const TrainingRun alone = train_tiny(folders.path("alone"), 1, kFive);
  ASSERT_EQ(alone.steps.size(), 5u);
  std::set<std::string> hashes;
  for (const auto& [step, record] : alone.steps) hashes.insert(record.at("picks_hash").dump());
  EXPECT_EQ(hashes.size(), 5u) << "every step draws anew";
  const struct {
    int ranks;
    std::string arguments;
  } cases[] = {{2, ""},
               {3, "--train.micro_tokens=400 --run.check_comm=on"},
               {4, "--parallel.sequence_ranks=2 --exchange.plan=all"},
               {4, "--parallel.sequence_ranks=1"},
               {2, "--exchange.plan=heads --memory.recompute=layer"},
               {4, "--parallel.sequence_ranks=2 --exchange.plan=heads --memory.rows=fetch_again"},
               {5, "--parallel.layout=zigzag --exchange.plan=auto"},
               {8, "--train.micro_tokens=400 --parallel.sequence_ranks=4"}};
  for (const auto& c : cases) {
    const std::string what = std::to_string(c.ranks) + " ranks " + c.arguments;
    expect_same_steps(
        alone, train_tiny(folders.path("case" + std::to_string(&c - cases)), c.ranks, kFive + c.arguments), what);
  }
}

// Few targets, all at the ends of a few documents: most ranks have none, some steps cross the end of an epoch, one document
// has a single target. Training and evaluation, six ranks as three replicas of two among them.
TEST(TrainingRuns, RanksWithoutTargetsChangeNothing) {
  const TempFolder folders;
  {
    std::ofstream data(folders.path("answers.jsonl"));
    for (int i = 0; i < 7; ++i) {
      std::string prompt;
      for (int word = 0; word < 60 + 31 * i; ++word) prompt += static_cast<char>('a' + (word * word + i) % 23);
      data << nlohmann::json{{"prompt", prompt}, {"response", std::string(static_cast<size_t>(i % 3 + 1), 'x')}}.dump()
           << "\n";
    }
  }
  const std::string arguments = "--run.dtype=float64 --data.train=" + folders.path("answers.jsonl") +
                                " --data.test=" + folders.path("answers.jsonl") +
                                " --train.steps=6 --train.warmup_steps=1 --train.batch_tokens=500 "
                                "--data.sequence_tokens=300 --eval.sequences=0 ";
  const TrainingRun alone = train_tiny(folders.path("alone"), 1, arguments);
  ASSERT_EQ(alone.steps.size(), 6U);
  const struct {
    int ranks;
    std::string more;
  } cases[] = {{4, ""},
               {8, "--parallel.layout=zigzag --exchange.plan=auto"},
               {6, "--parallel.sequence_ranks=2 --exchange.overlap=off"},
               {4, "--parallel.sequence_ranks=2 --exchange.plan=heads"}};
  for (const auto& c : cases) {
    const std::string what = std::to_string(c.ranks) + " ranks " + c.more;
    const TrainingRun run = train_tiny(folders.path("case" + std::to_string(&c - cases)), c.ranks, arguments + c.more);
    expect_same_steps(alone, run, what);
    for (const char* key : {"loss", "accuracy", "bits_per_byte"})
      EXPECT_NEAR(run.evaluation.at("eval").at(key).get<double>(), alone.evaluation.at("eval").at(key).get<double>(),
                  1e-9)
          << what << ", " << key;
  }
}

// Whichever rows travel how, every rank says so alike, and what was hidden or awaited is on the record.
TEST(TrainingRuns, TheRecordTellsWhatTravelled) {
  const TempFolder folders;
  const std::string one = "--train.stop_after=2 --eval.at_end=off --run.record_picks=2 ";
  for (const std::string plan : {"rows", "all", "heads", "auto"}) {
    const TrainingRun run = train_tiny(folders.path(plan), 2, one + "--exchange.plan=" + plan);
    const auto& record = run.steps.at(2);
    EXPECT_EQ(plan == "auto" ? "auto" : record.at("plan").get<std::string>(), plan);
    double sum = 0, count = 0;
    for (const auto& layer : record.at("phi_by_layer_head"))
      for (const auto& phi : layer) sum += phi.get<double>(), count += 1;
    ASSERT_GT(count, 0) << plan;
    EXPECT_NEAR(sum / count, record.at("phi").get<double>(), 1e-9) << plan;
    EXPECT_GT(record.at("exchange_exposed_ms").get<double>(), 0) << plan;
    EXPECT_GE(record.at("exchange_hidden_ms").get<double>(), 0) << plan;
    EXPECT_GE(record.at("sent_rows_imbalance").get<double>(), 1) << plan;
  }
  // Two replicas; a sketch that no sparse layer uses.
  const TrainingRun skipped = train_tiny(folders.path("skipped"), 4,
                                         one +
                                             "--parallel.sequence_ranks=2 --model.layers=3 --sketch.location=layer "
                                             "--attention.pattern=sparse,dense,sparse --exchange.plan=auto");
  double sum = 0, count = 0;
  for (const auto& layer : skipped.steps.at(2).at("phi_by_layer_head"))
    for (const auto& phi : layer) sum += phi.get<double>(), count += 1;
  EXPECT_EQ(skipped.steps.at(2).at("phi_by_layer_head").at(1).size(), 0U) << "a dense layer";
  EXPECT_NEAR(sum / count, skipped.steps.at(2).at("phi").get<double>(), 1e-9);
  EXPECT_EQ(
      smartbird(1, "simulate --ranks=2 --picks=" + folders.path("skipped") + "/picks/step-00000002.safetensors").code,
      0);
  const std::string picks = folders.path("rows") + "/picks/step-00000002.safetensors";
  const CommandResult simulated =
      smartbird(1, "simulate --ranks=1,2,4 --picks=" + picks + " --json=" + folders.path("simulated.json"));
  ASSERT_EQ(simulated.code, 0) << simulated.output;
  std::ifstream in(folders.path("simulated.json"));
  const auto strong = nlohmann::json::parse(in).at("strong");
  EXPECT_NEAR(strong.at(1).at("phi").get<double>(), read_run(folders.path("rows")).steps.at(2).at("phi").get<double>(),
              1e-9)
      << "laid over the same two ranks";
}

// Two replicas of two ranks, one with a long document and one with a short: rows there, heads here. The link is such that
// both happen.
TEST(TrainingRuns, ReplicasMayTakeDifferentPlans) {
  const TempFolder folders;
  {
    std::ofstream data(folders.path("documents.jsonl"));
    std::string text;
    for (int i = 0; i < 1200; ++i) text += static_cast<char>('a' + i * i % 23);
    for (int i = 0; i < 4; ++i) data << nlohmann::json{{"text", text.substr(0, i % 2 == 0 ? 1200 : 60)}}.dump() << "\n";
  }
  const std::string arguments = "--run.dtype=float64 --data.train=" + folders.path("documents.jsonl") +
                                " --data.sequence_tokens=1300 --train.batch_tokens=2600 --train.steps=2 "
                                "--train.warmup_steps=1 --eval.at_end=off --attention.picks=40 --attention.share=1 ";
  const TrainingRun alone = train_tiny(folders.path("alone"), 1, arguments);
  std::set<std::string> plans;
  for (const std::string link : {"1us,1kB/s", "1ms,1MB/s", "10ms,1MB/s", "100ms,1MB/s", "1s,1MB/s"}) {
    const TrainingRun run = train_tiny(folders.path(link), 4,
                                       arguments +
                                           "--parallel.sequence_ranks=2 --train.micro_tokens=1300 "
                                           "--exchange.plan=auto --exchange.link=" +
                                           link);
    expect_same_steps(alone, run, link);
    for (const auto& [step, record] : run.steps) plans.insert(record.at("plan").get<std::string>());
  }
  EXPECT_TRUE(plans.contains("rows+heads") || plans.contains("rows+all") || plans.contains("all+heads"))
      << "no link made replicas differ";
}

TEST(TrainingRuns, AnotherSeedDrawsOtherPicks) {
  const TempFolder folders;
  const std::string one = "--run.dtype=float64 --train.stop_after=1 --eval.at_end=off ";
  const TrainingRun a = train_tiny(folders.path("a"), 1, one),
                    b = train_tiny(folders.path("b"), 1, one + "--run.seed=2");
  EXPECT_NE(a.steps.at(1).at("picks_hash"), b.steps.at(1).at("picks_hash"));
}

TEST(TrainingRuns, PlanRowsSendsFewerBytesThanAll) {
  const TempFolder folders;
  const auto exchanged = [&](const std::string& plan) {
    const TrainingRun run = train_tiny(folders.path(plan), 3, kFive + "--exchange.plan=" + plan);
    int64_t bytes = 0;
    for (const auto& [step, record] : run.steps)
      for (const auto& [operation, sent] : record.at("sent_bytes").items()) bytes += sent.get<int64_t>();
    return bytes;
  };
  EXPECT_LT(exchanged("rows"), exchanged("all"));
}

TEST(TrainingRuns, FloatDrawsTheSameFirstPicks) {
  const TempFolder folders;
  const std::string arguments =
      "--train.stop_after=1 --eval.at_end=off --train.batch_tokens=1500 --data.sequence_tokens=251 ";
  const TrainingRun alone = train_tiny(folders.path("1"), 1, arguments);
  for (int ranks : {2, 3, 7, 8, 16}) {
    const TrainingRun run = train_tiny(folders.path(std::to_string(ranks)), ranks, arguments);
    EXPECT_EQ(run.steps.at(1).at("picks_hash"), alone.steps.at(1).at("picks_hash")) << ranks << " ranks";
  }
}

TEST(TrainingRuns, StoppingAndResumingOnOtherRanksIsNoInterruption) {
  const TempFolder folders;
  const std::string all = "--run.dtype=float64 --train.steps=18 --eval.sequences=4 ";
  const TrainingRun whole = train_tiny(folders.path("whole"), 2, all);
  const std::string folder = folders.path("parts");
  train_tiny(folder, 4, all + "--train.stop_after=10");
  train_tiny(folder, 3, all + "--train.stop_after=14 --run.resume=auto");
  const TrainingRun parts = train_tiny(folder, 1, all + "--run.resume=auto");
  expect_same_steps(whole, parts, "stopped at 10 on 4 ranks, at 14 on 3, finished on 1");
  const double loss = whole.evaluation.at("eval").at("loss").get<double>();
  EXPECT_NEAR(parts.evaluation.at("eval").at("loss").get<double>(), loss, 1e-9 * loss);
}

}  // namespace
}  // namespace smartbird::testing
