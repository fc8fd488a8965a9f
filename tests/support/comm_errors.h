// What every back end of Communicator must refuse, as bodies that all ranks of a group run; the messages carry values.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/error.h"

namespace smartbird::testing {

using CountList = std::vector<int64_t>;

// The message of the error of that kind that f throws.
template <class F>
std::string error_of(ErrorKind kind, F&& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

inline void wrong_counts_are_refused(Communicator& group) {
  const std::string on = " on rank " + std::to_string(group.rank()), size = std::to_string(group.size());
  const CountList many(static_cast<size_t>(group.size()) + 1, 0);
  EXPECT_EQ(error_of(ErrorKind::Shape, [&] { group.all_gather("keys", nullptr, nullptr, many, DType::f32); }),
            "keys: all_gather counts has " + std::to_string(many.size()) + " entries, expected " + size +
                " (one per rank)," + on);
  CountList negative(static_cast<size_t>(group.size()), 0);
  negative.back() = -4;
  EXPECT_EQ(
      error_of(ErrorKind::Shape, [&] { group.all_to_all_v("rows", nullptr, negative, nullptr, negative, DType::f32); }),
      "rows: all_to_all_v send_counts[" + std::to_string(group.size() - 1) + "] = -4 is negative," + on);
  EXPECT_EQ(error_of(ErrorKind::Shape, [&] { group.reduce_scatter("g", nullptr, nullptr, negative, DType::f32); }),
            "g: reduce_scatter counts[" + std::to_string(group.size() - 1) + "] = -4 is negative," + on);
  EXPECT_EQ(error_of(ErrorKind::Shape, [&] { group.all_reduce("norm", nullptr, -1, DType::f32); }),
            "norm: all_reduce count = -1 is negative," + on);
  EXPECT_EQ(error_of(ErrorKind::Shape, [&] { group.broadcast("w", nullptr, 0, DType::f32, group.size()); }),
            "w: broadcast root = " + size + " is not one of the " + size + " ranks," + on);
}

// Every rank sends two elements to the next rank, which expects `expected_elements` of them.
inline void disagree_about_bytes(Communicator& group, int64_t expected_elements) {
  const int next = (group.rank() + 1) % group.size(), before = (group.rank() + group.size() - 1) % group.size();
  CountList send_counts(static_cast<size_t>(group.size()), 0), recv_counts(send_counts);
  send_counts[static_cast<size_t>(next)] = 2;
  recv_counts[static_cast<size_t>(before)] = expected_elements;
  std::vector<int32_t> send(2, 1), recv(8, -1);
  const std::string message = error_of(ErrorKind::Comm, [&] {
    group.all_to_all_v("rows", send.data(), send_counts, recv.data(), recv_counts, DType::i32);
  });
  for (const std::string& part : {std::string("rows"), "rank " + std::to_string(before),
                                  "rank " + std::to_string(group.rank()), std::to_string(4 * expected_elements)}) {
    EXPECT_NE(message.find(part), std::string::npos) << message << " lacks " << part;
  }
}

inline void disagreement_about_bytes_is_detected(Communicator& group) {
  disagree_about_bytes(group, 3);
  disagree_about_bytes(group, 1);
  EXPECT_EQ(group.reduce_value("after", 1, ReduceOp::Sum), group.size());
}

}  // namespace smartbird::testing
