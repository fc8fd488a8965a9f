// What checkpoint tests share: a small model, moments that are a function of the element, saving with thread ranks.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "comm/thread_comm.h"
#include "train/checkpoint.h"

namespace smartbird {

inline Parameters small_model(uint64_t seed, int64_t classes = 3) {
  Parameters p;
  p.add("embed.weight", {13, 5}, 0.02, 0, true, false);
  p.add("norm.weight", {5}, 0, 1.0, false, false);
  p.add("classifier.weight", {classes, 5}, 0.3, 0, true, false);
  p.add("sketch.weight", {7, 3}, 0.5, 0, true, true);
  p.finish(at::kDouble, seed);
  return p;
}

// [end - begin]: divisions and sums, so the same bits whichever range is asked for.
inline at::Tensor moment_values(int64_t begin, int64_t end, double salt) {
  return at::arange(begin, end, at::kDouble).div(7.0).add(salt);
}

inline OptimizerShard shard_of(const Parameters& p, const Communicator& everyone, double salt) {
  OptimizerShard shard{.begin = p.size() * everyone.rank() / everyone.size(),
                       .end = p.size() * (everyone.rank() + 1) / everyone.size(),
                       .m = {},
                       .v = {}};
  shard.m = moment_values(shard.begin, shard.end, salt);
  shard.v = moment_values(shard.begin, shard.end, salt + 1);
  return shard;
}

inline CheckpointMeta small_meta() { return {"[run]\nseed = 1\n", R"({"kind":"bytes"})", {"austen", "wells"}}; }

class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "checkpoint_" + std::to_string(getpid());
    std::filesystem::remove_all(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // Saves the model of `seed` with moments of `salt` from `ranks` thread ranks; returns the folder.
  std::string save(int ranks, const TrainerState& state, uint64_t seed, double salt, int64_t keep_last) const {
    std::string folder;
    run_thread_ranks(ranks, [&](Communicator& group) {
      const World world(group.split(0, group.rank()), 0);
      Parameters parameters = small_model(seed);
      const std::string saved = save_checkpoint(world, dir_, parameters, shard_of(parameters, world.everyone(), salt),
                                                state, small_meta(), keep_last);
      if (world.is_root()) folder = saved;
    });
    return folder;
  }
  std::string save_step(int64_t step, int64_t best_step = -1, int64_t keep_last = 9) const {
    return save(2, {.step = step, .best_step = best_step}, static_cast<uint64_t>(step), static_cast<double>(step),
                keep_last);
  }

  std::string dir_;
};

}  // namespace smartbird
