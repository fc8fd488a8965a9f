// MpiComm against the bodies that every back end must pass, on the ranks that mpirun started: with the usual chunk
// limit, with a limit so low that pieces travel in many messages, and on a group split from all. Rank 0 reports; the
// other ranks print their failures; the exit code is not zero when any rank failed.
#include "comm/mpi_comm.h"

#include "comm/session.h"
#include "comm/world.h"
#include "tests/support/rank_tests.h"

namespace smartbird::testing {
namespace {

void world_of_pairs(Communicator& group) {
  const int width = group.size() % 2 == 0 ? 2 : 1;
  const World world(group.split(0, group.rank()), width);
  EXPECT_EQ(world.sequence().size(), width);
  EXPECT_EQ(world.sequence().rank(), group.rank() % width);
  EXPECT_EQ(world.across().size(), group.size() / width);
  EXPECT_EQ(world.across().rank(), group.rank() / width);
  error_of(ErrorKind::Config, [&] { World(group.split(0, group.rank()), group.size() + 1); });
}

void chunk_limit_is_checked(Communicator&) {
  EXPECT_EQ(error_of(ErrorKind::Config, [] { MpiComm(MPI_COMM_WORLD, 0); }),
            "MpiComm: chunk_bytes = 0 is not in [1, 2^31)");
}

// More collectives than there are tags.
void tags_wrap_around(Communicator& group) {
  for (int32_t i = 0; i < 32100; ++i) {
    std::vector<int32_t> expected(static_cast<size_t>(group.size()), i);
    ASSERT_EQ(group.gather_value("step", i), expected);
  }
}

int run_tests(const Session& session, Communicator& everyone) {
  MpiComm chunked(MPI_COMM_WORLD, 509);
  const auto half = chunked.split(session.rank() % 2, -session.rank());
  register_bodies("MpiComm", everyone);
  register_bodies("MpiCommInChunks", chunked);
  register_bodies("MpiCommSplit", *half);
  register_bodies("MpiOnly", everyone,
                  {{"WorldOfPairs", world_of_pairs},
                   {"ChunkLimitIsChecked", chunk_limit_is_checked},
                   {"TagsWrapAround", tags_wrap_around}});
  return run_on_all(everyone);
}

}  // namespace
}  // namespace smartbird::testing

int main(int argc, char** argv) {
  return smartbird::testing::rank_tests_main(argc, argv, smartbird::testing::run_tests);
}
