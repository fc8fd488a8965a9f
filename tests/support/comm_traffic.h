// All-to-alls whose every element follows from (sender, receiver, index), with what each rank must receive.
#pragma once

#include <numeric>
#include <vector>

#include "tests/support/comm_errors.h"

namespace smartbird::testing {

inline int64_t total(const CountList& counts) { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }

// Element i of what `from` sends to `to`: fits every type, differs between neighbours.
inline int64_t element(int from, int to, int64_t i) { return (from * 31 + to * 7 + i * 3) % 101; }

template <class T>
void append_piece(std::vector<T>& out, int from, int to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<T>(element(from, to, i)));
}

// counts(from, to): the elements of an all_to_all_v.
template <class F>
struct Traffic {
  CountList send_counts, recv_counts;
  std::vector<int32_t> send, recv, expected;

  Traffic(const Communicator& group, F counts) {
    const int me = group.rank();
    for (int r = 0; r < group.size(); ++r) {
      send_counts.push_back(counts(me, r));
      recv_counts.push_back(counts(r, me));
      append_piece(send, me, r, send_counts.back());
      append_piece(expected, r, me, recv_counts.back());
    }
    recv.assign(expected.size(), -1);
  }
  void run(Communicator& group) {
    group.all_to_all_v("rows", send.data(), send_counts, recv.data(), recv_counts, DType::i32);
  }
  Pending start(Communicator& group) {
    return group.start_all_to_all_v("rows", send.data(), send_counts, recv.data(), recv_counts, DType::i32);
  }
};

}  // namespace smartbird::testing
