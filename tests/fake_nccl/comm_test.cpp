// NcclComm over the stand-in: the bodies that every back end must pass, and what NCCL alone needs.
#include "comm/cuda_check.h"
#include "comm/world.h"
#include "tests/fake_nccl/over_nccl.h"
#include "tests/support/rank_tests.h"

namespace smartbird::testing {
namespace {

// What NCCL does not promise, and what it cannot report.
bool promised(const CommBody& body) {
  const std::string name = body.name;
  return name != "MaxAndMinKeepANaN" && name != "LargeAllReduceHasTheBitsOfSmallOnes" &&
         name != "DisagreementAboutBytesIsDetected";
}

void world_with_two_groups(Communicator& group) {
  const int width = group.size() % 2 == 0 ? 2 : 1;
  const auto shared = lane();
  const World world(group.split(0, group.rank()), width, [&](std::unique_ptr<Communicator> host) {
    return std::make_unique<NcclComm>(std::move(host), shared);
  });
  EXPECT_EQ(world.groups().size(), 5U);
  std::vector<double> mine(3, world.sequence().rank() + 1.0), all(3, group.rank() + 1.0);
  // Both under way at once, in the same order everywhere.
  std::vector<double> gathered(static_cast<size_t>(3 * width));
  const std::vector<int64_t> threes(static_cast<size_t>(width), 3);
  Pending pending = world.sequence_tensors().start_all_gather("a", mine.data(), gathered.data(), threes, DType::f64);
  world.everyone_tensors().all_reduce("b", all.data(), 3, DType::f64);
  pending.wait();
  EXPECT_EQ(all[0], group.size() * (group.size() + 1) / 2.0);
  EXPECT_EQ(gathered[static_cast<size_t>(3 * width - 1)], width);
}

void more_than_an_int_counts(Communicator& group) {
  if (group.size() > 1) GTEST_SKIP() << "needs 4 GiB per rank";
  const int64_t count = (int64_t{1} << 31) + 5;
  std::vector<uint8_t> send(static_cast<size_t>(count), 3), recv(send.size());
  send.back() = 7;
  const std::vector<int64_t> counts{count};
  over_nccl(group)->all_to_all_v("rows", send.data(), counts, recv.data(), counts, DType::u8);
  EXPECT_EQ(recv.front(), 3);
  EXPECT_EQ(recv.back(), 7);
}

// On a GPU waiting blocks nobody: what arrived is there after finish().
void finish_waits_for_what_was_awaited(Communicator& group) {
  const auto nccl = over_nccl(group);
  double sum = 1;
  fake_nccl::run_ahead(true);
  nccl->all_reduce("sum", &sum, 1, DType::f64);
  EXPECT_TRUE(std::isnan(sum));
  nccl->finish();
  fake_nccl::run_ahead(false);
  EXPECT_EQ(sum, group.size());
}

// A question leaves no error behind, which the next kernel would take for its own.
void asking_leaves_no_error(Communicator& group) {
  const auto nccl = over_nccl(group);
  Traffic traffic(group, [](int, int) { return int64_t{3}; });
  Pending pending = traffic.start(*nccl);
  for (int i = 0; i < 3; ++i) {
    (void)pending.arrived();
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  }
  pending.wait();
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

int run_tests(const Session& session, Communicator& everyone) {
  std::vector<CommBody> bodies;
  std::copy_if(kCommBodies.begin(), kCommBodies.end(), std::back_inserter(bodies), promised);
  const auto nccl = over_nccl(everyone);
  const auto half = nccl->split(session.rank() % 2, -session.rank());
  register_bodies("NcclComm", *nccl, bodies);
  register_bodies("NcclCommSplit", *half, bodies);
  register_bodies("NcclOnly", everyone,
                  {{"AskingLeavesNoError", asking_leaves_no_error},
                   {"WorldWithTwoGroups", world_with_two_groups},
                   {"MoreThanAnIntCounts", more_than_an_int_counts},
                   {"FinishWaitsForWhatWasAwaited", finish_waits_for_what_was_awaited}});
  register_bodies("NcclLast", everyone, {{"NothingWasMisused", nothing_was_misused}});
  return run_on_all(everyone);
}

}  // namespace
}  // namespace smartbird::testing

int main(int argc, char** argv) {
  return smartbird::testing::rank_tests_main(argc, argv, smartbird::testing::run_tests);
}
