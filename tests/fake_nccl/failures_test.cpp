// What goes wrong between ranks on NcclComm over the stand-in: it is said in one sentence on every rank that can know it,
// and no rank waits for ever.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>

#include "tests/fake_nccl/over_nccl.h"
#include "tests/support/rank_tests.h"

namespace smartbird::testing {
namespace {

using ::testing::HasSubstr;

// Rank 0 sends `count` elements to rank 1; nobody waits yet.
struct OneMessage {
  OneMessage(Communicator& group, int64_t count)
      : sends(group.rank() == 0), buffer(static_cast<size_t>(count), sends ? 5 : -2), pending(start(group, count)) {}
  Pending start(Communicator& group, int64_t count) {
    std::vector<int64_t> none(static_cast<size_t>(group.size()), 0), some(none);
    if (group.rank() < 2) some[sends ? 1 : 0] = count;
    return group.start_all_to_all_v("rows", buffer.data(), sends ? some : none, buffer.data(), sends ? none : some,
                                    DType::i32);
  }
  bool sends;
  std::vector<int32_t> buffer;
  Pending pending;
};

constexpr int64_t kLarge = 1 << 20;  // does not leave before its receiver asks for it

void received_rows_are_not_there_before_the_wait(Communicator& group) {
  const auto nccl = over_nccl(group);
  if (group.rank() == 0) group.barrier();
  OneMessage message(*nccl, 4);
  if (group.rank() == 1) {
    EXPECT_EQ(message.buffer, std::vector<int32_t>(4, -1));  // all bits
  }
  if (group.rank() > 0) group.barrier();
  message.pending.wait();
  EXPECT_EQ(message.buffer, std::vector<int32_t>(4, group.rank() < 2 ? 5 : -2));
}

void a_send_buffer_must_not_change(Communicator& group) {
  const auto nccl = over_nccl(group);
  if (group.rank() == 1) group.barrier();
  OneMessage message(*nccl, kLarge);
  if (group.rank() == 0) message.buffer[2] = 9;
  if (group.rank() != 1) group.barrier();
  if (group.rank() > 0) return;
  EXPECT_THAT(
      error_of(ErrorKind::Comm, [&] { message.pending.wait(); }),
      HasSubstr("the send buffer of ncclSend or ncclRecv of 4194304 elements of type 1, operation 0, root 1 changed"));
}

void a_receive_buffer_must_not_be_touched(Communicator& group) {
  const auto nccl = over_nccl(group);
  if (group.rank() == 0) group.barrier();
  OneMessage message(*nccl, 4);
  if (group.rank() == 1) message.buffer[2] = 9;
  if (group.rank() > 0) group.barrier();
  if (group.rank() != 1) return;
  EXPECT_THAT(
      error_of(ErrorKind::Comm, [&] { message.pending.wait(); }),
      HasSubstr(
          "the receive buffer of ncclSend or ncclRecv of 16 elements of type 1, operation 0, root 1 was written"));
}

// Both exchanges would end if each communicator had a stream of its own; on one stream real ranks wait for each other.
void another_order_of_communicators_is_named(Communicator& group) {
  const auto shared = lane();
  const auto a = over_nccl(group, shared), b = over_nccl(group, shared);
  const std::vector<int64_t> ones(static_cast<size_t>(group.size()), 1);
  double mine = 1;
  std::vector<double> first(ones.size()), second(ones.size());
  const bool crossed = group.rank() == 0;
  EXPECT_THAT(
      error_of(ErrorKind::Comm,
               [&] {
                 Pending one = (crossed ? b : a)->start_all_gather("one", &mine, first.data(), ones, DType::f64);
                 Pending two = (crossed ? a : b)->start_all_gather("two", &mine, second.data(), ones, DType::f64);
                 one.wait();
                 two.wait();
               }),
      HasSubstr("operations of several communicators in another order"));
}

void host_memory_is_refused(Communicator& group) {
  const auto nccl = over_nccl(group);
  double norm = 1;
  fake_nccl::is_host_memory() = [&](const void* at) { return at == &norm; };
  EXPECT_EQ(
      error_of(ErrorKind::Device, [&] { nccl->all_reduce("norm", &norm, 1, DType::f64); }),
      "norm: the tensor is in host memory, and NCCL carries the memory of GPUs only; set run.device = cuda, or use "
      "parallel.transport = mpi");
  fake_nccl::is_host_memory() = [](const void*) { return false; };
}

void other_counts_are_named(Communicator& group) {
  const auto nccl = over_nccl(group);
  if (group.rank() > 1) return;
  const std::string text = error_of(ErrorKind::Comm, [&] {
    OneMessage(*nccl, group.rank() == 0 ? 2 : 3).pending.wait();
    if (group.rank() == 0) fail(ErrorKind::Comm, "a sender does not see it");
  });
  if (group.rank() == 0) return;
  EXPECT_THAT(text,
              HasSubstr("rank 1 calls ncclSend or ncclRecv of 12 elements of type 1, operation 0, root 1, but rank "
                        "0 calls ncclSend or ncclRecv of 8 elements"));
}

void other_operations_are_named(Communicator& group) {
  const auto nccl = over_nccl(group);
  const bool first = group.rank() == 0;
  std::vector<double> data(8, 1), more(8 * static_cast<size_t>(group.size()));
  const std::vector<int64_t> eights(static_cast<size_t>(group.size()), 8);
  const std::string text = error_of(ErrorKind::Comm, [&] {
    if (first)
      nccl->all_reduce("norm", data.data(), 8, DType::f64);
    else
      nccl->all_gather("keys", data.data(), more.data(), eights, DType::f64);
  });
  EXPECT_THAT(text, HasSubstr("ncclAllReduce of 8"));
  EXPECT_THAT(text, HasSubstr("ncclAllGather of 8"));
  EXPECT_EQ(error_of(ErrorKind::Comm, [&] { nccl->all_reduce("norm", data.data(), 8, DType::f64); }), text)
      << "what went wrong first is said again";
}

// All ranks but the last call; the last one comes when they have given up.
void a_missing_rank_ends_the_exchange(Communicator& group) {
  if (group.size() == 1) GTEST_SKIP() << "needs another rank";
  const auto shared = lane({.timeout_s = 0.3});
  const auto nccl = over_nccl(group, shared), other = over_nccl(group, shared);
  double norm = 1;
  if (group.rank() < group.size() - 1) {
    const std::string text = error_of(ErrorKind::Comm, [&] { nccl->all_reduce("norm", &norm, 1, DType::f64); });
    EXPECT_EQ(
        text,
        join("norm (exchange 0 of rank ", group.rank(), " of ", group.size(),
             ") has not ended after 0.3 s (parallel.nccl_timeout_s); a rank is lost, stuck, or in another exchange"));
    EXPECT_EQ(error_of(ErrorKind::Comm, [&] { other->all_reduce("norm", &norm, 1, DType::f64); }), text)
        << "every group of the process is aborted";
  }
  group.barrier();
}

void a_missing_rank_ends_the_start(Communicator& group) {
  if (group.size() == 1) GTEST_SKIP() << "needs another rank";
  const auto host = group.split(0, group.rank());
  const auto shared = lane({.timeout_s = 0.3});
  if (group.rank() < group.size() - 1) {
    EXPECT_EQ(error_of(ErrorKind::Comm, [&] { NcclHandle(*host, shared->watch()); }),
              join("NCCL: the start on rank ", group.rank(), " of ", group.size(),
                   " has not ended after 0.3 s (parallel.nccl_timeout_s); a rank is missing or cannot be reached "
                   "(NCCL_DEBUG=INFO tells more)"));
  } else {
    struct {
      ncclUniqueId id;
      ncclResult_t result;
    } made{};
    host->broadcast("nccl_id", &made, sizeof made, DType::u8, 0);
  }
  group.barrier();
}

void a_host_that_never_looks_is_ended(Communicator& group) {
  if (group.size() == 1) GTEST_SKIP() << "needs another rank";
  std::atomic<int> calls = 0;
  std::string text;
  const auto shared =
      lane({.timeout_s = 0.2, .grace_s = 0.2}, [&](const std::string& failure) { text = failure, ++calls; });
  const auto nccl = over_nccl(group, shared);
  if (group.rank() < group.size() - 1) {
    double norm = 1, sum = 0;
    const std::vector<int64_t> ones(static_cast<size_t>(group.size()), 1);
    std::vector<double> all(ones.size());
    {
      Pending pending = nccl->start_all_gather("norms", &norm, all.data(), ones, DType::f64);
      for (int i = 0; i < 100 && calls == 0; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        sum += norm;
      }
      error_of(ErrorKind::Comm, [&] { pending.wait(); });
    }
    EXPECT_EQ(calls, 1);
    EXPECT_THAT(text, HasSubstr("norms (exchange 0 of rank"));
  }
  group.barrier();
}

int run_tests(const Session&, Communicator& everyone) {
  register_bodies("NcclWrong", everyone,
                  {{"ReceivedRowsAreNotThereBeforeTheWait", received_rows_are_not_there_before_the_wait},
                   {"ASendBufferMustNotChange", a_send_buffer_must_not_change},
                   {"AReceiveBufferMustNotBeTouched", a_receive_buffer_must_not_be_touched},
                   {"HostMemoryIsRefused", host_memory_is_refused},
                   {"AnotherOrderOfCommunicatorsIsNamed", another_order_of_communicators_is_named},
                   {"OtherCountsAreNamed", other_counts_are_named},
                   {"OtherOperationsAreNamed", other_operations_are_named},
                   {"AMissingRankEndsTheExchange", a_missing_rank_ends_the_exchange},
                   {"AMissingRankEndsTheStart", a_missing_rank_ends_the_start},
                   {"AHostThatNeverLooksIsEnded", a_host_that_never_looks_is_ended}});
  register_bodies("NcclLast", everyone, {{"NothingWasMisused", nothing_was_misused}});
  return run_on_all(everyone);
}

}  // namespace
}  // namespace smartbird::testing

int main(int argc, char** argv) {
  return smartbird::testing::rank_tests_main(argc, argv, smartbird::testing::run_tests);
}
