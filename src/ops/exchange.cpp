// Requests and the fetch of remote rows.
#include "ops/exchange.h"

#include <numeric>

#include "ops/collectives.h"
#include "ops/tensors.h"

namespace smartbird {

int64_t Requests::num_received() const { return std::accumulate(recv_rows.begin(), recv_rows.end(), int64_t{0}); }

AskedRows::AskedRows(Communicator& group, const char* what, const std::vector<std::vector<int64_t>>& wanted) {
  const size_t ranks = static_cast<size_t>(group.size());
  for (const auto& rows : wanted) {
    out_.recv_rows.push_back(static_cast<int64_t>(rows.size()));
    for (int64_t row : rows) ids_.push_back(static_cast<int32_t>(row));
  }
  out_.send_rows.resize(ranks);
  const std::vector<int64_t> ones(ranks, 1);
  group.all_to_all_v("row_counts", out_.recv_rows.data(), ones, out_.send_rows.data(), ones, DType::i64);
  asked_.resize(static_cast<size_t>(std::accumulate(out_.send_rows.begin(), out_.send_rows.end(), int64_t{0})));
  pending_ = group.start_all_to_all_v(what, ids_.data(), out_.recv_rows, asked_.data(), out_.send_rows, DType::i32);
}

Requests AskedRows::finish() {
  pending_.wait();
  out_.send_index = index_tensor(std::vector<int64_t>(asked_.begin(), asked_.end()));
  return std::move(out_);
}

Requests ask_for_rows(Communicator& group, const char* what, const std::vector<std::vector<int64_t>>& wanted) {
  return AskedRows(group, what, wanted).finish();
}

KnownRequests known_requests(const Layout& layout, int rank, const std::function<std::vector<int64_t>(int)>& needed) {
  KnownRequests out;
  const size_t ranks = static_cast<size_t>(layout.num_ranks());
  out.requests.send_rows.assign(ranks, 0);
  out.requests.recv_rows.assign(ranks, 0);
  std::vector<int64_t> send;
  std::vector<std::vector<int64_t>> from(ranks);
  for (int other = 0; other < layout.num_ranks(); ++other) {
    for (int64_t token : needed(other)) {
      const Run& run = layout.run_of(token);
      if (other == rank) from[static_cast<size_t>(run.rank)].push_back(token);
      if (run.rank != rank || other == rank) continue;
      send.push_back(run.local + token - run.begin);
      ++out.requests.send_rows[static_cast<size_t>(other)];
    }
  }
  for (size_t owner = 0; owner < ranks; ++owner) {
    out.requests.recv_rows[owner] = static_cast<int64_t>(from[owner].size());
    out.tokens.insert(out.tokens.end(), from[owner].begin(), from[owner].end());
  }
  out.requests.send_index = index_tensor(send);
  return out;
}

at::Tensor fetch_rows(Communicator& group, const char* what, const at::Tensor& x, const Requests& requests) {
  return all_to_all_rows(group, what, x.index_select(0, requests.send_index.to(x.device())), requests.send_rows,
                         requests.recv_rows);
}

}  // namespace smartbird
