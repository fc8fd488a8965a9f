// A checked group does what any group does, and names the first difference between two ranks before data is mixed up.
#include "comm/checked_comm.h"

#include "tests/support/comm_bodies.h"
#include "tests/support/ranks.h"

namespace smartbird::testing {
namespace {

void for_checked_ranks(int ranks, const std::function<void(Communicator&)>& body) {
  for_ranks(ranks, [&](Communicator& group) {
    CheckedComm checked(group.split(0, group.rank()));
    body(checked);
  });
}

class Checked : public ::testing::TestWithParam<std::tuple<CommBody, int>> {};

TEST_P(Checked, DoesWhatAnyGroupDoes) {
  const auto& [body, ranks] = GetParam();
  if (std::string(body.name) == "DisagreementAboutBytesIsDetected") GTEST_SKIP() << "said in other words, see below";
  for_checked_ranks(ranks, body.run);
}

INSTANTIATE_TEST_SUITE_P(All, Checked, ::testing::Combine(::testing::ValuesIn(kCommBodies), ::testing::Values(1, 3)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + std::string("_") +
                                  std::to_string(std::get<1>(info.param));
                         });

TEST(CheckedComm, AnotherOperationIsNamedOnBothRanks) {
  for_checked_ranks(2, [](Communicator& group) {
    group.barrier();
    const bool root = group.rank() == 0;
    EXPECT_EQ(error_of(ErrorKind::Comm, [&] { (void)group.gather_value(root ? "rows" : "keys", int64_t{1}); }),
              root ? "run.check_comm: rank 0 is at exchange 1, rows of i64, but rank 1 is at exchange 1, keys of i64"
                   : "run.check_comm: rank 1 is at exchange 1, keys of i64, but rank 0 is at exchange 1, rows of i64");
  });
}

TEST(CheckedComm, AnotherTypeOfAsManyBytesIsNamed) {
  for_checked_ranks(2, [](Communicator& group) {
    const std::string message = error_of(ErrorKind::Comm, [&] {
      if (group.rank() == 0)
        (void)group.gather_value("rows", int64_t{1});
      else
        (void)group.gather_value("rows", 1.0);
    });
    EXPECT_NE(message.find(group.rank() == 0 ? "rows of i64, but rank 1" : "rows of f64, but rank 0"),
              std::string::npos)
        << message;
  });
}

TEST(CheckedComm, AnotherSumIsNamed) {
  for_checked_ranks(2, [](Communicator& group) {
    const bool root = group.rank() == 0;
    EXPECT_EQ(
        error_of(ErrorKind::Comm, [&] { (void)group.reduce_value("norm", 1.0, root ? ReduceOp::Sum : ReduceOp::Max); }),
        root
            ? "run.check_comm: in exchange 0, norm of f64, rank 0 calls all_reduce sum, but rank 1 calls all_reduce max"
            : "run.check_comm: in exchange 0, norm of f64, rank 1 calls all_reduce max, but rank 0 calls all_reduce "
              "sum");
  });
}

TEST(CheckedComm, OtherCountsAreNamed) {
  for_checked_ranks(2, [](Communicator& group) {
    std::vector<double> data(5);
    const int64_t count = group.rank() == 0 ? 5 : 4;
    EXPECT_EQ(error_of(ErrorKind::Comm, [&] { group.all_reduce("norm", data.data(), count, DType::f64); }),
              group.rank() == 0 ? "run.check_comm: in exchange 0, norm of f64, rank 0 sends 40 bytes to rank 1, which "
                                  "expects 32, and expects 40 bytes of the 32 that it sends"
                                : "run.check_comm: in exchange 0, norm of f64, rank 1 sends 32 bytes to rank 0, which "
                                  "expects 40, and expects 32 bytes of the 40 that it sends");
  });
}

TEST(CheckedComm, AnExchangeThatOneRankLeavesOutIsNamedAtTheNext) {
  for_checked_ranks(2, [](Communicator& group) {
    const auto both = [&] {
      if (group.rank() == 0) (void)group.gather_value("rows", 1);
      (void)group.gather_value("keys", 1);
    };
    EXPECT_EQ(error_of(ErrorKind::Comm, both),
              group.rank() == 0
                  ? "run.check_comm: rank 0 is at exchange 0, rows of i32, but rank 1 is at exchange 0, keys of i32"
                  : "run.check_comm: rank 1 is at exchange 0, keys of i32, but rank 0 is at exchange 0, rows of i32");
  });
}

TEST(CheckedComm, CountsTheBytesOfTheGroupAlone) {
  for_checked_ranks(3, [](Communicator& group) {
    (void)group.gather_value("rows", int64_t{1});
    EXPECT_EQ(group.sent_bytes(), (std::map<std::string, int64_t>{{"rows", 16}}));
  });
}

}  // namespace
}  // namespace smartbird::testing
