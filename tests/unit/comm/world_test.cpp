// The groups of World, and what the launcher's environment says.
#include "comm/world.h"

#include <cstdlib>

#include "comm/launcher.h"
#include "comm/session.h"
#include "tests/support/comm_bodies.h"
#include "tests/support/ranks.h"

namespace smartbird::testing {
namespace {

// run_thread_ranks owns the communicators; World wants one of its own.
std::unique_ptr<Communicator> same_group(Communicator& group) { return group.split(0, group.rank()); }

TEST(World, EveryDivisorMakesReplicasOfConsecutiveRanks) {
  for (int ranks : kWorldSizes) {
    for_ranks(ranks, [&](Communicator& group) {
      for (int width = 1; width <= ranks; ++width) {
        if (ranks % width != 0) continue;
        const World world(same_group(group), width);
        std::vector<int32_t> sequence, across;
        for (int r = 0; r < ranks; ++r) {
          if (r / width == group.rank() / width) sequence.push_back(r);
          if (r % width == group.rank() % width) across.push_back(r);
        }
        EXPECT_EQ(world.sequence().gather_value("rank", int32_t{group.rank()}), sequence);
        EXPECT_EQ(world.across().gather_value("rank", int32_t{group.rank()}), across);
        EXPECT_EQ(world.num_replicas(), ranks / width);
        EXPECT_EQ(world.replica(), group.rank() / width);
        EXPECT_EQ(world.is_root(), group.rank() == 0);
      }
    });
  }
}

TEST(World, FourRanksAreTwoReplicasOfTwo) {
  for_ranks(4, [](Communicator& group) {
    const World world(same_group(group), 2);
    EXPECT_EQ(world.sequence().size(), 2);
    EXPECT_EQ(world.sequence().rank(), group.rank() % 2);
    EXPECT_EQ(world.across().rank(), group.rank() / 2);
    EXPECT_EQ(world.replica(), group.rank() / 2);
  });
}

TEST(World, ZeroMeansAllRanks) {
  for_ranks(3, [](Communicator& group) {
    const World world(same_group(group), 0);
    EXPECT_EQ(world.sequence().size(), 3);
    EXPECT_EQ(world.across().size(), 1);
  });
}

TEST(World, RefusesWhatDoesNotDivide) {
  for (int width : {3, 8, -1}) {
    for_ranks(4, [width](Communicator& group) {
      EXPECT_EQ(error_of(ErrorKind::Config, [&] { World(same_group(group), width); }),
                join("parallel.sequence_ranks = ", width, " does not divide the 4 ranks of this run"));
    });
  }
}

TEST(Launcher, InnermostLauncherDecides) {
  const std::vector<const char*> names{"SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"};
  for (const char* name : names) unsetenv(name);
  EXPECT_EQ(launcher_tasks(), 1);
  int tasks = 3;
  for (const char* name : names) {
    setenv(name, std::to_string(tasks).c_str(), 1);
    EXPECT_EQ(launcher_tasks(), tasks) << name;
    ++tasks;
  }
  for (const char* name : names) unsetenv(name);
}

TEST(Session, DescriptionNamesTheLibrary) {
  const std::string description = Session::description();
  EXPECT_TRUE(description == "none" || description.find("CUDA-aware") != std::string::npos) << description;
  EXPECT_EQ(description.find('\n'), std::string::npos);
}

// With MPI: tests/distributed.
TEST(Session, WithoutMpiThereIsOneRankAndOneTask) {
  if (Session::description() != "none") GTEST_SKIP() << Session::description();
  const Session session(nullptr, nullptr);
  EXPECT_EQ(session.everyone()->size(), 1);
  setenv("SLURM_STEP_NUM_TASKS", "2", 1);
  EXPECT_EQ(
      error_of(ErrorKind::Environment, [&] { (void)session.everyone(); }),
      "the launcher started 2 tasks but this build has no MPI; configure with -DSMARTBIRD_MPI=ON or start one task");
  unsetenv("SLURM_STEP_NUM_TASKS");
}

}  // namespace
}  // namespace smartbird::testing
