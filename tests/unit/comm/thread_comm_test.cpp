// What only a group of threads does: errors of one rank free the others, disagreements and absences are named.
#include <atomic>
#include <stdexcept>

#include "tests/support/comm_bodies.h"
#include "tests/support/ranks.h"

namespace smartbird::testing {
namespace {

TEST(ThreadComm, ThrowingRankFreesItsPeersAndItsErrorComesOut) {
  for (int ranks : {2, 3, 8}) {
    std::atomic<int> freed = 0;
    try {
      for_ranks(ranks, [&](Communicator& group) {
        group.barrier();
        if (group.rank() == 1) throw std::domain_error("the first cause");
        const std::string message = error_of(ErrorKind::Comm, [&] { group.barrier(); });
        EXPECT_EQ(message, "barrier: peer rank 1 failed");
        ++freed;
        fail(ErrorKind::Comm, message);
      });
      ADD_FAILURE() << "no error";
    } catch (const std::domain_error& error) {
      EXPECT_STREQ(error.what(), "the first cause");
    }
    EXPECT_EQ(freed, ranks - 1);
  }
}

TEST(ThreadComm, ErrorReachesPeersThatWaitInAnotherGroup) {
  EXPECT_THROW(for_ranks(4,
                         [](Communicator& group) {
                           const auto half = group.split(group.rank() / 2, 0);
                           if (group.rank() == 0) throw std::domain_error("cause");
                           group.barrier();
                         }),
               std::domain_error);
}

TEST(ThreadComm, DifferentOperationsAreDetected) {
  for_ranks(2, [](Communicator& group) {
    const char* what = group.rank() == 0 ? "rows" : "keys";
    const std::string message = error_of(ErrorKind::Comm, [&] { (void)group.gather_value(what, 1); });
    EXPECT_EQ(message, group.rank() == 0 ? "rank 0 calls 'rows' while rank 1 calls 'keys'"
                                         : "rank 1 calls 'keys' while rank 0 calls 'rows'");
  });
}

TEST(ThreadComm, DifferentBytesAreNamed) {
  for_ranks(3, [](Communicator& group) {
    std::vector<double> data(5);
    const int64_t count = group.rank() == 2 ? 5 : 4;
    const std::string message =
        error_of(ErrorKind::Comm, [&] { group.all_reduce("norm", data.data(), count, DType::f64); });
    EXPECT_EQ(message, group.rank() == 2 ? "norm: rank 0 sends 32 bytes, rank 2 expects 40"
                                         : join("norm: rank 2 sends 40 bytes, rank ", group.rank(), " expects 32"));
  });
}

TEST(ThreadComm, RankThatEndedIsNotWaitedFor) {
  EXPECT_EQ(error_of(ErrorKind::Comm,
                     [] {
                       for_ranks(3, [](Communicator& group) {
                         if (group.rank() != 2) (void)group.gather_value("rows", 1);
                       });
                     }),
            "rows: rank 2 ended without taking part");
}

TEST(ThreadComm, DeadlineNamesTheMissingRankAndTheOperation) {
  const auto group = make_thread_group(2, 0.05);
  EXPECT_EQ(error_of(ErrorKind::Comm, [&] { (void)group[0]->gather_value("rows", 1); }),
            "rows: nothing from rank 1 for 0.05 s");
}

TEST(ThreadComm, StartDoesNotBlock) {
  const auto group = make_thread_group(2, 0.05);
  const std::vector<int64_t> ones(2, 1);
  std::vector<int64_t> first(2), second(2);
  const int64_t a = 3, b = 4;
  Pending one = group[0]->start_all_gather("rows", &a, first.data(), ones, DType::i64);
  Pending two = group[1]->start_all_gather("rows", &b, second.data(), ones, DType::i64);
  one.wait();
  two.wait();
  EXPECT_EQ(first, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(second, first);
}

TEST(ThreadComm, PendingDoesNotWaitWhileAnErrorUnwinds) {
  const auto group = make_thread_group(2);
  const std::vector<int64_t> ones(2, 1);
  std::vector<int64_t> all(2);
  const int64_t mine = 1;
  EXPECT_THROW(
      {
        const Pending pending = group[0]->start_all_gather("rows", &mine, all.data(), ones, DType::i64);
        throw std::domain_error("while in flight");
      },
      std::domain_error);
}

}  // namespace
}  // namespace smartbird::testing
