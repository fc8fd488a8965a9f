// The stand-in says what the real NCCL and CUDA would punish with a hang, wrong data or a crash. One rank suffices here.
#include <gmock/gmock.h>
#include <nccl.h>

#include <string>

#include "comm/session.h"
#include "tests/support/fake_nccl/state.h"

namespace smartbird::testing {
namespace {

using ::testing::HasSubstr;

class StandIn : public ::testing::Test {
 protected:
  StandIn() {
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&computed, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
    comm = start();
  }
  ~StandIn() override {
    if (comm) ncclCommAbort(comm);
    cudaEventDestroy(done);
    cudaEventDestroy(computed);
    cudaStreamDestroy(stream);
  }
  static ncclComm_t start() {
    ncclUniqueId id{};
    ncclGetUniqueId(&id);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t out = nullptr;
    EXPECT_EQ(ncclCommInitRankConfig(&out, 1, id, 0, &config), ncclInProgress);
    EXPECT_EQ(state_of(out), ncclSuccess);
    return out;
  }
  static ncclResult_t state_of(ncclComm_t of) {
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(of, &state);
    return asked == ncclSuccess ? state : asked;
  }
  // The lane follows the computation.
  void follow(cudaStream_t on) {
    cudaEventRecord(computed, nullptr);
    cudaStreamWaitEvent(on, computed, 0);
  }
  ncclResult_t sum(double* data, cudaStream_t on) {
    return ncclAllReduce(data, data, 1, ncclFloat64, ncclSum, comm, on);
  }
  // In progress, and looked at until it is queued.
  void queue_sum(double* data, cudaStream_t on) {
    EXPECT_EQ(sum(data, on), ncclInProgress);
    settle();
  }
  void settle() {
    for (int look = 0; look < 5 && state_of(comm) == ncclInProgress; ++look) {
    }
    EXPECT_EQ(state_of(comm), ncclSuccess);
  }
  void wait() {
    cudaEventRecord(done, stream);
    cudaStreamWaitEvent(nullptr, done, 0);
  }
  void expect_error(const std::string& text) {
    EXPECT_EQ(state_of(comm), ncclInvalidUsage);
    EXPECT_THAT(std::string(ncclGetLastError(comm)), HasSubstr(text));
  }

  cudaStream_t stream = nullptr;
  cudaEvent_t computed = nullptr, done = nullptr;
  ncclComm_t comm = nullptr;
  double x = 3, y = 5;
};

TEST_F(StandIn, ASumAppearsForWhoeverWaits) {
  follow(stream);
  queue_sum(&x, stream);
  EXPECT_TRUE(std::isnan(x));
  wait();
  EXPECT_EQ(x, 3);
  EXPECT_EQ(state_of(comm), ncclSuccess);
}

TEST_F(StandIn, ACallWhileAnotherIsInProgressIsRefused) {
  follow(stream);
  EXPECT_EQ(sum(&x, stream), ncclInProgress);
  follow(stream);
  EXPECT_EQ(sum(&y, stream), ncclInvalidArgument);
  EXPECT_THAT(std::string(ncclGetLastError(comm)), HasSubstr("ncclAllReduce while another call is in progress"));
}

// An event recorded before the host saw that the call was queued does not wait for it.
TEST_F(StandIn, AnEventComesAfterWhatWasQueued) {
  follow(stream);
  EXPECT_EQ(sum(&x, stream), ncclInProgress);
  cudaEventRecord(done, stream);
  settle();
  cudaStreamWaitEvent(nullptr, done, 0);
  EXPECT_TRUE(std::isnan(x));
}

TEST_F(StandIn, DestroyingWithoutAnEndIsMisuse) {
  ::testing::internal::CaptureStderr();
  const int before = fake_nccl::misuses();
  ncclCommDestroy(comm);
  EXPECT_EQ(fake_nccl::misuses(), before + 1);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("ncclCommDestroy before ncclCommFinalize has ended"));
  comm = nullptr;
}

TEST_F(StandIn, TheDefaultStreamIsRefused) {
  follow(stream);
  EXPECT_EQ(sum(&x, nullptr), ncclInvalidUsage);
  expect_error("on the default stream, which everything waits for");
}

TEST_F(StandIn, AStreamMustFollowTheComputation) {
  EXPECT_EQ(sum(&x, stream), ncclInvalidUsage);
  expect_error("does not follow an event of the computation since the last one");
}

TEST_F(StandIn, AnOlderEventOfTheComputationIsNotEnough) {
  follow(stream);
  queue_sum(&x, stream);
  EXPECT_EQ(sum(&y, stream), ncclInvalidUsage);
  expect_error("does not follow an event of the computation since the last one");
}

TEST_F(StandIn, ADestroyedStreamIsRefused) {
  cudaStream_t other = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  follow(other);
  cudaStreamDestroy(other);
  EXPECT_EQ(sum(&x, other), ncclInvalidUsage);
  expect_error("on a stream that does not exist");
  EXPECT_EQ(cudaStreamDestroy(other), cudaErrorInvalidResourceHandle);
}

TEST_F(StandIn, OneCommunicatorOnTwoStreamsIsRefused) {
  cudaStream_t other = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  follow(stream);
  queue_sum(&x, stream);
  follow(other);
  EXPECT_EQ(sum(&y, other), ncclInvalidUsage);
  expect_error("on two streams at once");
  cudaStreamDestroy(other);
}

TEST_F(StandIn, WhatNobodyWaitedForMustNotBeSent) {
  follow(stream);
  queue_sum(&x, stream);
  follow(stream);
  EXPECT_EQ(sum(&x, stream), ncclInvalidUsage);
  expect_error("uses a buffer that is being received into, and nobody waited");
}

TEST_F(StandIn, ANullBufferAndAForeignRankAreRefused) {
  follow(stream);
  EXPECT_EQ(ncclSend(&x, 1, ncclFloat64, 1, comm, stream), ncclInvalidArgument);
  EXPECT_THAT(std::string(ncclGetLastError(comm)), HasSubstr("ncclSend names rank 1 of 1"));
  ncclCommAbort(comm);
  comm = start();
  EXPECT_EQ(ncclAllReduce(nullptr, &x, 1, ncclFloat64, ncclSum, comm, stream), ncclInvalidArgument);
  EXPECT_THAT(std::string(ncclGetLastError(comm)), HasSubstr("ncclAllReduce with a null buffer"));
}

TEST_F(StandIn, NothingFollowsTheEnd) {
  EXPECT_EQ(ncclCommFinalize(comm), ncclInProgress);
  settle();
  follow(stream);
  EXPECT_EQ(sum(&x, stream), ncclInvalidUsage);
  expect_error("ncclAllReduce after ncclCommFinalize");
}

TEST_F(StandIn, ADestroyedCommunicatorIsRefused) {
  const ncclComm_t old = comm;
  ncclCommFinalize(comm);
  settle();
  EXPECT_EQ(ncclCommDestroy(comm), ncclSuccess);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(sum(&x, stream), ncclInvalidArgument);
  EXPECT_EQ(ncclCommDestroy(old), ncclInvalidArgument);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("ncclAllReduce with a communicator that was destroyed\nstand-in NCCL: ncclCommDestroy with"));
  comm = nullptr;
}

TEST_F(StandIn, ABlockingStartIsRefused) {
  ncclUniqueId id{};
  ncclGetUniqueId(&id);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  ncclComm_t out = nullptr;
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(ncclCommInitRankConfig(&out, 1, id, 0, &config), ncclInvalidUsage);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("a communicator that blocks"));
}

TEST_F(StandIn, AGroupMustBegin) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("ncclGroupEnd without ncclGroupStart"));
}

TEST_F(StandIn, AGroupIsHandedOverAtItsEnd) {
  double to = 0;
  follow(stream);
  ncclGroupStart();
  EXPECT_EQ(ncclRecv(&to, 1, ncclFloat64, 0, comm, stream), ncclSuccess);
  EXPECT_EQ(to, 0) << "nothing has begun";
  EXPECT_EQ(ncclSend(&x, 1, ncclFloat64, 0, comm, stream), ncclSuccess);
  EXPECT_EQ(ncclGroupEnd(), ncclInProgress);
  EXPECT_EQ(to, 0) << "nothing has begun";
  settle();
  wait();
  EXPECT_EQ(to, 3);
}

}  // namespace
}  // namespace smartbird::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const smartbird::Session session(&argc, &argv);
  return RUN_ALL_TESTS();
}
