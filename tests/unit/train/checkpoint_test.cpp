// Checkpoints survive any change of the number of ranks, bit by bit, and one rank's failure is everybody's.
#include <ATen/ATen.h>

#include <fstream>
#include <mutex>
#include <set>

#include "core/error.h"
#include "tests/unit/train/checkpoint_run.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

TEST_F(CheckpointTest, AnyNumberOfRanksReadsAnyCheckpoint) {
  const TrainerState state{.step = 12,
                           .next_sample = int64_t{1} << 40,
                           .tokens = 77,
                           .wall_s = 0.1,
                           .best_metric = 1.0 / 3,
                           .best_step = 8,
                           .evaluations_without_gain = 2,
                           .evaluated_step = 8};
  std::string folder = save(4, state, 5, 0.25, 2);
  for (const int ranks : {3, 1, 8}) {
    std::string next;
    run_thread_ranks(ranks, [&](Communicator& group) {
      const World world(group.split(0, group.rank()), 0);
      Parameters loaded = small_model(99), expected = small_model(5);
      EXPECT_TRUE(load_weights(folder, loaded, MissingWeights::Refuse).empty());
      EXPECT_TRUE(at::equal(loaded.flat(), expected.flat()));
      OptimizerShard shard = shard_of(loaded, world.everyone(), -1);
      load_optimizer(folder, loaded, shard);
      EXPECT_TRUE(at::equal(shard.m, moment_values(shard.begin, shard.end, 0.25)));
      EXPECT_TRUE(at::equal(shard.v, moment_values(shard.begin, shard.end, 1.25)));
      TrainerState later = read_trainer_state(folder);
      later.step += 1;
      const std::string saved = save_checkpoint(world, dir_, loaded, shard, later, read_checkpoint_meta(folder), 9);
      if (world.is_root()) next = saved;
    });
    folder = next;
  }
  const TrainerState last = read_trainer_state(folder);
  EXPECT_EQ(last.step, 15);
  EXPECT_EQ(last.next_sample, state.next_sample);
  EXPECT_EQ(last.tokens, state.tokens);
  EXPECT_EQ(last.wall_s, state.wall_s);
  EXPECT_EQ(last.best_metric, state.best_metric);
  EXPECT_EQ(last.best_step, state.best_step);
  EXPECT_EQ(last.evaluations_without_gain, state.evaluations_without_gain);
  EXPECT_EQ(last.evaluated_step, state.evaluated_step);
  EXPECT_EQ(read_checkpoint_meta(folder).config_ini, small_meta().config_ini);
  EXPECT_EQ(read_checkpoint_meta(folder).tokenizer_json, small_meta().tokenizer_json);
  EXPECT_EQ(read_checkpoint_meta(folder).classes, small_meta().classes);
}

TEST_F(CheckpointTest, OneFailingRankFailsAllAlikeAndLeavesNothing) {
  std::mutex lock;
  std::vector<std::string> messages;
  run_thread_ranks(4, [&](Communicator& group) {
    const World world(group.split(0, group.rank()), 0);
    Parameters parameters = small_model(1);
    OptimizerShard shard = shard_of(parameters, world.everyone(), 0);
    if (world.everyone().rank() == 2) shard.m = shard.m.narrow(0, 0, shard.m.numel() - 1).clone();
    try {
      (void)save_checkpoint(world, dir_, parameters, shard, {.step = 3}, small_meta(), 1);
      ADD_FAILURE() << "rank " << group.rank() << " saved";
    } catch (const Error& e) {
      const std::lock_guard guard(lock);
      EXPECT_EQ(e.kind(), ErrorKind::Shape);
      messages.emplace_back(e.what());
    }
  });
  ASSERT_EQ(messages.size(), 4u);
  for (const std::string& message : messages) EXPECT_EQ(message, messages[0]);
  EXPECT_NE(messages[0].find("rank 2"), std::string::npos) << messages[0];
  EXPECT_TRUE(names_in(dir_ + "/checkpoints").empty());
}

TEST_F(CheckpointTest, RunFolderThatIsAFileFailsAllRanksAsIo) {
  std::ofstream(dir_) << "a file";
  int failures = 0;
  std::mutex lock;
  run_thread_ranks(3, [&](Communicator& group) {
    const World world(group.split(0, group.rank()), 0);
    Parameters parameters = small_model(1);
    try {
      (void)save_checkpoint(world, dir_, parameters, shard_of(parameters, world.everyone(), 0), {.step = 3},
                            small_meta(), 1);
    } catch (const Error& e) {
      const std::lock_guard guard(lock);
      failures += e.kind() == ErrorKind::Io;
    }
  });
  EXPECT_EQ(failures, 3);
}

// U45: keep_last counts the newest; the best one is kept besides, and counts when it is among them.
TEST_F(CheckpointTest, RetentionKeepsTheNewestAndTheBest) {
  for (int64_t step = 1; step <= 6; ++step) (void)save_step(step, step >= 2 ? 2 : -1, 2);
  EXPECT_EQ(names_in(dir_ + "/checkpoints"),
            (std::set<std::string>{"latest", "step_00000002", "step_00000005", "step_00000006"}));
  (void)save_step(7, 7, 2);
  EXPECT_EQ(names_in(dir_ + "/checkpoints"), (std::set<std::string>{"latest", "step_00000006", "step_00000007"}));
  (void)save_step(8, -1, 1);
  EXPECT_EQ(names_in(dir_ + "/checkpoints"), (std::set<std::string>{"latest", "step_00000008"}));
}

// U38: what an abandoned course of the run left is neither picked nor counted, and goes when the next checkpoint is there.
TEST_F(CheckpointTest, CheckpointsBeyondAResumeAreLeftBehind) {
  for (int64_t step : {2, 4, 6, 9}) (void)save_step(step);
  const std::string root = dir_ + "/checkpoints", four = root + "/step_00000004";
  make_latest(dir_, four);
  std::vector<std::string> warnings;
  EXPECT_EQ(find_checkpoint(dir_, warnings), four);
  EXPECT_EQ(warnings.size(), 2u);
  EXPECT_TRUE(fs::exists(root + "/step_00000006/manifest.json")) << "nothing goes before the next one is published";
  (void)save_step(7);
  EXPECT_EQ(names_in(root), (std::set<std::string>{"latest", "step_00000002", "step_00000004", "step_00000007"}));
  std::string latest;
  std::getline(std::ifstream(root + "/latest"), latest);
  EXPECT_EQ(latest, "step_00000007");
}

// F7, U45: a latest that is ahead (a kill between it and the rename), gone or unreadable loses no good checkpoint.
TEST_F(CheckpointTest, LatestIsNoSinglePointOfFailure) {
  const std::string good = save_step(3), file = dir_ + "/checkpoints/latest";
  std::vector<std::string> warnings;
  for (const char* text : {"step_00000005\n", "", "step_x\n", "\n"}) {
    std::ofstream(file) << text;
    EXPECT_EQ(find_checkpoint(dir_, warnings), good) << text;
  }
  fs::remove(file);
  EXPECT_EQ(find_checkpoint(dir_, warnings), good);
  EXPECT_TRUE(warnings.empty());
  std::ofstream(file) << "step_00000002\n";  // its checkpoint is gone, only a later one is good
  EXPECT_EQ(find_checkpoint(dir_, warnings), good);
  make_latest(dir_ + "/elsewhere", good);  // a resume into another folder claims nothing here
  EXPECT_EQ(find_checkpoint(dir_, warnings), good);
}

TEST_F(CheckpointTest, SavingAStepAgainReplacesIt) {
  (void)save(4, {.step = 1}, 5, 0, 2);
  const std::string folder = save(2, {.step = 1}, 6, 0, 2);
  verify_checkpoint(folder);
  Parameters loaded = small_model(9), expected = small_model(6);
  (void)load_weights(folder, loaded, MissingWeights::Refuse);
  EXPECT_TRUE(at::equal(loaded.flat(), expected.flat()));
  EXPECT_EQ(names_in(dir_ + "/checkpoints"), (std::set<std::string>{"latest", "step_00000001"}));
  EXPECT_FALSE(fs::exists(folder + "/optim-00003-of-00004.safetensors"));
}

TEST_F(CheckpointTest, MetricThatIsNotANumberIsReadBack) {
  const std::string folder = save(1, {.step = 1, .best_metric = NAN}, 5, 0, 2);
  EXPECT_TRUE(std::isnan(read_trainer_state(folder).best_metric));
}

}  // namespace
}  // namespace smartbird
