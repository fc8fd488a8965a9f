// StagedComm, which copies through host memory: the bodies that every back end must pass.
#include "comm/cuda_staged_comm.h"
#include "comm/nccl_groups.h"
#include "tests/fake_nccl/over_nccl.h"
#include "tests/support/rank_tests.h"

namespace smartbird::testing {
namespace {

int run_tests(const Session& session, Communicator& everyone) {
  StagedComm staged(everyone.split(0, session.rank()), default_stream);
  const auto part = staged.split(session.rank() % 2, -session.rank());
  register_bodies("StagedComm", staged, {kCommBodies.begin(), kCommBodies.end()});
  register_bodies("StagedCommSplit", *part, {kCommBodies.begin(), kCommBodies.end()});
  register_bodies("StagedLast", everyone, {{"NothingWasMisused", nothing_was_misused}});
  return run_on_all(everyone);
}

}  // namespace
}  // namespace smartbird::testing

int main(int argc, char** argv) {
  return smartbird::testing::rank_tests_main(argc, argv, smartbird::testing::run_tests);
}
