// Rows of other ranks: who sends what (Requests) and the fetch itself, index_select followed by an all-to-all; its
// gradient goes home the reverse way and is summed in rank order. Received rows are ordered by owner, then as asked.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <vector>

#include "comm/communicator.h"
#include "data/layout.h"

namespace smartbird {

struct Requests {
  at::Tensor send_index;                      // [rows sent] int64: local rows, by destination rank
  std::vector<int64_t> send_rows, recv_rows;  // [P]
  [[nodiscard]] int64_t num_received() const;
  [[nodiscard]] int64_t num_sent() const { return send_index.size(0); }
};

// Every rank asks owner r for the local rows wanted[r]. Collective: counts are exchanged at once, ids (int32, under `what`) are
// on their way until finish(), called once.
class AskedRows {
 public:
  AskedRows(Communicator& group, const char* what, const std::vector<std::vector<int64_t>>& wanted);
  AskedRows(const AskedRows&) = delete;
  AskedRows& operator=(const AskedRows&) = delete;
  [[nodiscard]] Requests finish();

 private:
  Requests out_;
  std::vector<int32_t> ids_, asked_;
  Pending pending_;  // before the memory it uses goes
};
[[nodiscard]] Requests ask_for_rows(Communicator& group, const char* what,
                                    const std::vector<std::vector<int64_t>>& wanted);

// Tokens that every rank can work out alone: needed(rank) lists stream positions the rank does not hold, ascending.
// No communication. tokens: the stream positions of the received rows, in the order of arrival.
struct KnownRequests {
  Requests requests;
  std::vector<int64_t> tokens;
};
[[nodiscard]] KnownRequests known_requests(const Layout& layout, int rank,
                                           const std::function<std::vector<int64_t>(int)>& needed);

// x [rows, ...] -> [received, ...], differentiable.
[[nodiscard]] at::Tensor fetch_rows(Communicator& group, const char* what, const at::Tensor& x,
                                    const Requests& requests);

}  // namespace smartbird
