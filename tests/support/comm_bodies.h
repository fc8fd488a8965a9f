// What every back end of Communicator must do, as bodies that all ranks of a group run. Inputs are small integers that
// follow from (sender, receiver, index), so each rank knows the answer and equality is exact.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "core/philox.h"
#include "core/timer.h"
#include "tests/support/comm_errors.h"
#include "tests/support/comm_traffic.h"

namespace smartbird::testing {

template <class T>
void gather_uneven(Communicator& group) {
  CountList counts;
  std::vector<T> send, expected;
  for (int r = 0; r < group.size(); ++r) {
    counts.push_back((r * 7) % 5);  // rank 0 has nothing
    append_piece(expected, r, 0, counts.back());
  }
  append_piece(send, group.rank(), 0, counts[static_cast<size_t>(group.rank())]);
  std::vector<T> recv(expected.size());
  group.all_gather("keys", send.data(), recv.data(), counts, kDTypeOf<T>);
  EXPECT_EQ(recv, expected);
}

inline void all_gather_of_every_type(Communicator& group) {
  gather_uneven<uint8_t>(group);
  gather_uneven<int32_t>(group);
  gather_uneven<int64_t>(group);
  gather_uneven<float>(group);
  gather_uneven<double>(group);
}

inline void all_to_all_v_uneven(Communicator& group) {
  Traffic traffic(group, [](int from, int to) { return int64_t{(from * 3 + to * 5) % 7}; });
  traffic.run(group);
  EXPECT_EQ(traffic.recv, traffic.expected);
}

inline void nothing_at_all(Communicator& group) {
  const CountList zeros(static_cast<size_t>(group.size()), 0);
  group.clear_counters();
  group.all_to_all_v("rows", nullptr, zeros, nullptr, zeros, DType::f32);
  group.all_gather("keys", nullptr, nullptr, zeros, DType::f64);
  group.reduce_scatter("gradients", nullptr, nullptr, zeros, DType::f32);
  group.all_reduce("norm", nullptr, 0, DType::f64);
  group.broadcast("weights", nullptr, 0, DType::f32, 0);
  for (const auto& [what, bytes] : group.sent_bytes()) EXPECT_EQ(bytes, 0) << what;
}

// Among them empty ones, ones with a single row, ones with a single column.
inline void random_count_matrices(Communicator& group) {
  for (uint32_t round = 0; round < 10'000; ++round) {
    const int hot = static_cast<int>(round / 8) % group.size();
    Traffic traffic(group, [round, hot](int from, int to) {
      const uint32_t bits = philox({round, static_cast<uint32_t>(from), static_cast<uint32_t>(to), 0}, {11, 12})[0];
      if (round % 8 == 0 || (round % 8 == 1 && from != hot) || (round % 8 == 2 && to != hot)) return int64_t{0};
      return bits % 3 == 0 ? int64_t{0} : int64_t{(bits >> 8) % 40};
    });
    traffic.run(group);
    ASSERT_EQ(traffic.recv, traffic.expected) << "matrix " << round;
  }
}

inline void two_in_flight(Communicator& group) {
  Traffic first(group, [](int from, int to) { return int64_t{(from + to) % 4}; });
  Traffic second(group, [](int from, int to) { return int64_t{(from + 2 * to + 1) % 5}; });
  const CountList ones(static_cast<size_t>(group.size()), 1);
  const int64_t mine = group.rank() * 10;
  CountList all(ones.size(), -1), tens;
  for (int r = 0; r < group.size(); ++r) tens.push_back(r * 10);
  Pending one = first.start(group), two = second.start(group);
  Pending three = group.start_all_gather("keys", &mine, all.data(), ones, DType::i64);
  one.wait();
  two.wait();
  three.wait();
  three.wait();  // a second wait does nothing
  EXPECT_EQ(first.recv, first.expected);
  EXPECT_EQ(second.recv, second.expected);
  EXPECT_EQ(all, tens);
}

inline void pending_waits_when_it_dies_or_is_replaced(Communicator& group) {
  Traffic first(group, [](int from, int to) { return int64_t{1 + (from + to) % 4}; });
  Traffic second(group, [](int from, int to) { return int64_t{1 + (from + 2 * to) % 5}; });
  {
    Pending pending = first.start(group);
    pending = second.start(group);
    EXPECT_EQ(first.recv, first.expected);
  }
  EXPECT_EQ(second.recv, second.expected);
}

// arrived() never waits; after it said yes, wait() has nothing to do.
inline void arrival_is_seen_without_waiting(Communicator& group) {
  EXPECT_TRUE(Pending().arrived());
  for (int round = 0; round < 50; ++round) {
    Traffic traffic(group, [round](int from, int to) { return int64_t{(from + to + round) % 9}; });
    Pending pending = traffic.start(group);
    while (!pending.arrived()) std::this_thread::yield();
    EXPECT_EQ(traffic.recv, traffic.expected);
    pending.wait();
    EXPECT_TRUE(pending.arrived());
    EXPECT_EQ(traffic.recv, traffic.expected);
  }
}

// Time in the calls is exposed, time between them hidden, once for all exchanges that are on their way.
inline void exchange_time_is_exposed_or_hidden(Communicator& group) {
  Traffic traffic(group, [](int, int) { return int64_t{3}; });
  group.clear_counters();
  const Stopwatch watch;
  Pending pending = traffic.start(group);
  const bool early = pending.arrived();  // then nothing is left to hide
  std::this_thread::sleep_for(std::chrono::milliseconds(80));
  pending.wait();
  const ExchangeTime time = group.exchange_time();
  EXPECT_GE(time.hidden_ms, early ? 0 : 80);
  EXPECT_GE(time.exposed_ms, 0);
  EXPECT_LE(time.hidden_ms + time.exposed_ms, watch.elapsed_ms());
  traffic.run(group);
  EXPECT_LT(group.exchange_time().hidden_ms - time.hidden_ms, 60) << "nothing is done between start and wait";
  std::this_thread::sleep_for(std::chrono::milliseconds(80));
  EXPECT_LT(group.exchange_time().hidden_ms - time.hidden_ms, 60) << "nothing is on its way";
  group.clear_counters();
  const Stopwatch both;
  Traffic other(group, [](int, int) { return int64_t{2}; });
  Pending first = traffic.start(group), second = other.start(group);
  std::this_thread::sleep_for(std::chrono::milliseconds(80));
  first.wait();
  second.wait();
  EXPECT_LE(group.exchange_time().hidden_ms + group.exchange_time().exposed_ms, both.elapsed_ms()) << "counted twice";
  group.clear_counters();
  EXPECT_EQ(group.exchange_time().hidden_ms, 0);
}

template <class T>
void scatter_sum_uneven(Communicator& group) {
  CountList counts;
  std::vector<T> send, expected;
  for (int r = 0; r < group.size(); ++r) {
    counts.push_back((r * 3 + 1) % 4);
    append_piece(send, group.rank(), r, counts.back());
  }
  const int64_t mine = counts[static_cast<size_t>(group.rank())];
  for (int64_t i = 0; i < mine; ++i) {
    T sum = 0;
    for (int from = 0; from < group.size(); ++from) sum = static_cast<T>(sum + element(from, group.rank(), i));
    expected.push_back(sum);
  }
  std::vector<T> recv(expected.size());
  group.reduce_scatter("gradients", send.data(), recv.data(), counts, kDTypeOf<T>);
  EXPECT_EQ(recv, expected);
}

inline void reduce_scatter_of_every_type(Communicator& group) {
  scatter_sum_uneven<uint8_t>(group);
  scatter_sum_uneven<int32_t>(group);
  scatter_sum_uneven<int64_t>(group);
  scatter_sum_uneven<float>(group);
  scatter_sum_uneven<double>(group);
}

inline void all_reduce_of_every_op(Communicator& group) {
  const int size = group.size(), last = size - 1;
  EXPECT_EQ(group.reduce_value("sum", int64_t{group.rank()}, ReduceOp::Sum), int64_t{size} * last / 2);
  EXPECT_EQ(group.reduce_value("max", int32_t{group.rank() - 5}, ReduceOp::Max), last - 5);
  EXPECT_EQ(group.reduce_value("min", 5.0 - group.rank(), ReduceOp::Min), 5.0 - last);
  EXPECT_EQ(group.reduce_value("sum", 0.5F, ReduceOp::Sum), 0.5F * static_cast<float>(size));
}

inline void max_and_min_keep_a_nan(Communicator& group) {
  const double bad = group.rank() == group.size() - 1 ? std::nan("") : 1;
  EXPECT_TRUE(std::isnan(group.reduce_value("max", bad, ReduceOp::Max)));
  EXPECT_TRUE(std::isnan(group.reduce_value("min", bad, ReduceOp::Min)));
}

// One reduction of a large buffer has the bits of many small ones, on inputs whose sum depends on the order.
template <class T>
void large_is_small(Communicator& group, ReduceOp op) {
  constexpr int64_t kCount = 65536 + 13, kPart = 5000;
  std::vector<T> large(kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    const PhiloxCounter bits = philox({static_cast<uint32_t>(i), static_cast<uint32_t>(group.rank()), 0, 0}, {5, 6});
    large[static_cast<size_t>(i)] = static_cast<T>(static_cast<double>(bits[0]) * (bits[1] % 2 == 0 ? 1e-9 : 1.7));
  }
  std::vector<T> small(large);
  group.all_reduce("large", large.data(), kCount, kDTypeOf<T>, op);
  for (int64_t i = 0; i < kCount; i += kPart) {
    group.all_reduce("small", small.data() + i, std::min(kPart, kCount - i), kDTypeOf<T>, op);
  }
  EXPECT_EQ(std::memcmp(large.data(), small.data(), large.size() * sizeof(T)), 0);
}

inline void large_all_reduce_has_the_bits_of_small_ones(Communicator& group) {
  large_is_small<float>(group, ReduceOp::Sum);
  large_is_small<double>(group, ReduceOp::Max);
}

inline void broadcast_from_every_root(Communicator& group) {
  for (int root = 0; root < group.size(); ++root) {
    std::vector<float> expected, data;
    append_piece(expected, root, root, 9);
    append_piece(data, group.rank(), root, 9);
    group.broadcast("weights", data.data(), 9, DType::f32, root);
    EXPECT_EQ(data, expected) << "root " << root;
  }
}

// Ranks 0, 3, 6, ... in one group, the others in another, both backwards; then each group splits again.
inline void split_into_uneven_groups(Communicator& group) {
  const int color = group.rank() % 3 == 0 ? 0 : 1;
  std::vector<int32_t> expected;
  for (int r = group.size() - 1; r >= 0; --r) {
    if ((r % 3 == 0 ? 0 : 1) == color) expected.push_back(r);
  }
  const auto part = group.split(color, -group.rank());
  EXPECT_EQ(part->gather_value("ranks", int32_t{group.rank()}), expected);
  EXPECT_EQ(expected[static_cast<size_t>(part->rank())], group.rank());
  const auto alone = part->split(part->rank(), 0);
  EXPECT_EQ(alone->size(), 1);
  EXPECT_EQ(alone->reduce_value("sum", 3, ReduceOp::Sum), 3);
  part->barrier();
  group.barrier();
  EXPECT_EQ(group.reduce_value("sum", 1, ReduceOp::Sum), group.size());
}

inline void sent_bytes_are_those_to_others(Communicator& group) {
  const int64_t others = group.size() - 1, me = group.rank();
  Traffic traffic(group, [](int from, int to) { return int64_t{from + 2 * to}; });
  group.clear_counters();
  traffic.run(group);
  traffic.run(group);
  EXPECT_EQ(group.sent_bytes().at("rows"), 2 * 4 * (total(traffic.send_counts) - 3 * me));
  double value = 1;
  group.all_reduce("norm", &value, 1, DType::f64);
  EXPECT_EQ(group.sent_bytes().at("norm"), 8 * others);
  group.broadcast("weights", &value, 1, DType::f64, 0);
  EXPECT_EQ(group.sent_bytes().at("weights"), me == 0 ? 8 * others : 0);
  group.barrier();
  EXPECT_EQ(group.sent_bytes().size(), 3U);
  group.clear_counters();
  EXPECT_TRUE(group.sent_bytes().empty());
}

struct CommBody {
  const char* name;
  void (*run)(Communicator& group);
  friend void PrintTo(const CommBody& body, std::ostream* out) { *out << body.name; }
};

inline const std::vector<CommBody> kCommBodies{
    {"AllGatherOfEveryType", all_gather_of_every_type},
    {"AllToAllVUneven", all_to_all_v_uneven},
    {"NothingAtAll", nothing_at_all},
    {"RandomCountMatrices", random_count_matrices},
    {"TwoInFlight", two_in_flight},
    {"PendingWaitsWhenItDiesOrIsReplaced", pending_waits_when_it_dies_or_is_replaced},
    {"ArrivalIsSeenWithoutWaiting", arrival_is_seen_without_waiting},
    {"ExchangeTimeIsExposedOrHidden", exchange_time_is_exposed_or_hidden},
    {"ReduceScatterOfEveryType", reduce_scatter_of_every_type},
    {"AllReduceOfEveryOp", all_reduce_of_every_op},
    {"MaxAndMinKeepANaN", max_and_min_keep_a_nan},
    {"LargeAllReduceHasTheBitsOfSmallOnes", large_all_reduce_has_the_bits_of_small_ones},
    {"BroadcastFromEveryRoot", broadcast_from_every_root},
    {"SplitIntoUnevenGroups", split_into_uneven_groups},
    {"SentBytesAreThoseToOthers", sent_bytes_are_those_to_others},
    {"WrongCountsAreRefused", wrong_counts_are_refused},
    {"DisagreementAboutBytesIsDetected", disagreement_about_bytes_is_detected},
};

}  // namespace smartbird::testing
