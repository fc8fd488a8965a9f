// Tests whose every case is run by all ranks that mpirun started. Rank 0 reports; the other ranks print their failures; the exit
// code is not zero when any rank failed.
#pragma once

#include <cstdio>

#include "comm/session.h"
#include "tests/support/comm_bodies.h"

namespace smartbird::testing {

class BodyTest : public ::testing::Test {
 public:
  BodyTest(CommBody body, Communicator& group) : body_(body), group_(group) {}
  void TestBody() override { body_.run(group_); }

 private:
  CommBody body_;
  Communicator& group_;
};

class FailurePrinter : public ::testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "rank %d: %s:%d: %s\n", rank_, result.file_name() ? result.file_name() : "?",
                 result.line_number(), result.message());
  }

 private:
  int rank_;
};

inline void register_bodies(const char* suite, Communicator& group, const std::vector<CommBody>& bodies = kCommBodies) {
  for (const CommBody& body : bodies) {
    ::testing::RegisterTest(suite, body.name, nullptr, nullptr, __FILE__, __LINE__,
                            [body, &group]() -> ::testing::Test* { return new BodyTest(body, group); });
  }
}

inline void report_from_rank_0(int rank) {
  if (rank == 0) return;
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new FailurePrinter(rank));
}

// What has been registered, by all ranks: the most failures of any.
inline int run_on_all(Communicator& everyone) {
  const int failed = RUN_ALL_TESTS();
  return everyone.reduce_value("failed", int32_t{failed}, ReduceOp::Max);
}

// run_tests registers bodies and ends with run_on_all, so that its communicators live as long.
inline int rank_tests_main(int argc, char** argv, int (*run_tests)(const Session&, Communicator& everyone)) {
  ::testing::InitGoogleTest(&argc, argv);
  // A body that throws on one rank would leave the others waiting: it ends the job instead.
  GTEST_FLAG_SET(catch_exceptions, false);
  const Session session(&argc, &argv);
  report_from_rank_0(session.rank());
  try {
    return run_tests(session, *session.everyone());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", session.rank(), error.what());
    session.abort(1);
  }
}

}  // namespace smartbird::testing
