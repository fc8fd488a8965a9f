// Real processes get real signals: a run that is asked to stop saves and can go on, a run whose rank is killed ends, and
// no kill at any instant loses the last good checkpoint.
#include <random>
#include <set>

#include "tests/support/background_run.h"
#include "tests/support/training_run.h"

namespace smartbird::testing {
namespace {

namespace fs = std::filesystem;

// Never over by itself.
std::string endless(const std::string& folder, const std::string& more = "") {
  return "pretrain --config configs/tiny.ini --train.steps=100000 --run.dir=" + folder + " " + more;
}

size_t steps_recorded(const std::string& folder) {
  const std::string text = read_bytes(folder + "/metrics.jsonl");
  size_t count = 0;
  for (size_t at = text.find("\"loss\":"); at != std::string::npos; at = text.find("\"picks_hash\":", at + 1)) ++count;
  return count;
}

std::string latest(const std::string& folder) {
  std::string name;
  std::getline(std::ifstream(folder + "/checkpoints/latest"), name);
  return name;
}

// The step of the checkpoint that resume would take; -1 if none.
int good_step(const std::string& folder) {
  const CommandResult result = smartbird(1, "checkpoint verify " + folder);
  const size_t end = result.output.find(": complete");  // warnings name other steps
  return result.code == 0 && end != std::string::npos ? std::stoi(result.output.substr(end - 8, 8)) : -1;
}

// One more step on other ranks; the metrics must then read as one run without a gap.
void expect_goes_on(const std::string& folder, int ranks) {
  const int step = good_step(folder);
  ASSERT_GE(step, 0);
  const CommandResult result = smartbird(
      ranks, endless(folder, "--run.resume=auto --eval.every=0 --train.stop_after=" + std::to_string(step + 1)));
  ASSERT_EQ(result.code, 0) << result.output;
  const TrainingRun run = read_run(folder);
  ASSERT_EQ(run.steps.size(), static_cast<size_t>(step) + 1);
  EXPECT_EQ(run.steps.rbegin()->first, step + 1);
}

// U44: finish the step, save, exit with the resumable code.
TEST(StopAndKill, SignalsEndARunWithACheckpoint) {
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
    SCOPED_TRACE(signal);
    const TempFolder folders;
    const std::string folder = folders.path("run");
    BackgroundRun run(3, endless(folder), folders.path("log"));
    ASSERT_TRUE(wait_until([&] { return steps_recorded(folder) >= 2; })) << run.output();
    run.signal(signal);
    EXPECT_EQ(run.wait(), 75) << run.output();
    const int step = read_run(folder).steps.rbegin()->first;
    EXPECT_EQ(good_step(folder), step) << "the last step that was recorded is the one that was saved";
    const std::string sentence =
        "stopped by a signal after step " + std::to_string(step) + "; run again with --run.resume=auto";
    const std::string output = run.output();
    EXPECT_NE(output.find(sentence), std::string::npos) << output;
    EXPECT_EQ(output.find(sentence), output.rfind(sentence)) << output;
    if (signal == SIGTERM) expect_goes_on(folder, 2);
  }
}

// U44: also before any rank can listen: nothing is written, and the code says that it may be submitted again.
TEST(StopAndKill, ASignalAtTheVeryStart) {
  const TempFolder folders;
  BackgroundRun run(2, endless(folders.path("run")), folders.path("log"));
  ASSERT_TRUE(wait_until([&] { return run.ranks().size() == 2; })) << run.output();
  run.signal(SIGTERM);
  EXPECT_EQ(run.wait(), 75) << run.output();
  EXPECT_NE(run.output().find("run again with --run.resume=auto"), std::string::npos) << run.output();
}

// U44: also during an evaluation, which the resumed run then makes.
TEST(StopAndKill, ASignalDuringAnEvaluation) {
  const TempFolder folders;
  const std::string folder = folders.path("run"), books = SMARTBIRD_SOURCE_DIR "/tests/data/books";
  BackgroundRun run(2, endless(folder, "--eval.every=2 --eval.sequences=0 --data.valid=" + books + "/train"),
                    folders.path("log"));
  ASSERT_TRUE(wait_until([&] { return steps_recorded(folder) >= 2; })) << run.output();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  run.signal(SIGUSR1);
  EXPECT_EQ(run.wait(), 75) << run.output();
  EXPECT_EQ(good_step(folder), 2);
  EXPECT_TRUE(read_run(folder).evaluation.is_null());
  const CommandResult result =
      smartbird(1, endless(folder,
                           "--run.resume=auto --eval.every=2 --eval.sequences=2 --train.stop_after=2 "
                           "--run.allow_change=data.valid"));
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(read_run(folder).evaluation.at("step"), 2);
}

// E3, U35: the death of one rank ends the others by themselves, with an error.
TEST(StopAndKill, AKilledRankEndsTheJobAndTheCheckpointStays) {
  const TempFolder folders;
  const std::string folder = folders.path("run");
  BackgroundRun run(3, endless(folder, "--checkpoint.every=3"), folders.path("log"));
  ASSERT_TRUE(wait_until([&] { return !latest(folder).empty() && run.ranks().size() == 3; })) << run.output();
  const std::vector<pid_t> ranks = run.ranks();
  kill(ranks[1], SIGKILL);
  EXPECT_EQ(run.wait(), 7) << run.output();
  EXPECT_NE(run.output().find("run: a rank was killed by signal 9 (KILL), so mpirun ended the others"),
            std::string::npos)
      << run.output();
  for (const pid_t rank : ranks) EXPECT_TRUE(wait_until([&] { return kill(rank, 0) != 0; })) << "rank process " << rank;
  expect_goes_on(folder, 2);
}

// F7, U37: wherever a kill falls, also into a save, resume finds a good checkpoint no older than the last complete one.
TEST(StopAndKill, KillsAtAnyInstantLoseNoCheckpoint) {
  const TempFolder folders;
  const std::string folder = folders.path("run");
  std::minstd_rand random(7);
  for (int round = 0; round < 3; ++round) {
    const std::string before = latest(folder);
    BackgroundRun run(2, endless(folder, "--run.resume=auto --checkpoint.every=1"), folders.path("log"));
    ASSERT_TRUE(wait_until([&] { return latest(folder) > before; })) << run.output();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60000));
    const std::string saved = latest(folder);
    for (const pid_t rank : run.ranks()) kill(rank, SIGKILL);
    EXPECT_NE(run.wait(), 0);
    EXPECT_GE(good_step(folder), std::stoi(saved.substr(5)) - 1) << saved;
  }
  expect_goes_on(folder, 3);
}

}  // namespace
}  // namespace smartbird::testing
