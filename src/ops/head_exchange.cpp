// Orders on the wire: the destination's heads, then rows, so that every piece is one run of memory.
#include "ops/head_exchange.h"

#include <algorithm>
#include <numeric>

#include "ops/collectives.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

int64_t ranks_of(const Plan& plan) { return static_cast<int64_t>(plan.rows_by_rank.size()); }

std::vector<int64_t> same_for_all(const Plan& plan, int64_t rows) {
  return std::vector<int64_t>(plan.rows_by_rank.size(), rows);
}

std::vector<int64_t> times(std::vector<int64_t> counts, int64_t factor) {
  for (int64_t& count : counts) count *= factor;
  return counts;
}

// Copies between units [G/P, N, 2D] and the pieces of the ranks one after the other, each [G/P, its rows, 2D].
template <class Copy>
void for_pieces(const at::Tensor& pieces, const at::Tensor& units, const Plan& plan, Copy copy) {
  int64_t first = 0, at = 0;
  for (int64_t rows : plan.rows_by_rank) {
    copy(pieces.narrow(0, at, plan.kv_heads * rows).view({plan.kv_heads, rows, units.size(2)}),
         units.narrow(1, first, rows));
    first += rows, at += plan.kv_heads * rows;
  }
}

// Lists of blocks, each of `heads` in a row, put in the order of the blocks' numbers.
template <class T>
kernels::Picks<T> in_order(kernels::Picks<T> picks, const std::vector<int64_t>& number, int64_t heads) {
  if (std::is_sorted(number.begin(), number.end())) return picks;
  std::vector<size_t> from(number.size());
  for (size_t i = 0; i < number.size(); ++i) from[static_cast<size_t>(number[i])] = i;
  kernels::Picks<T> out;
  for (const size_t block : from)
    for (size_t list = block * static_cast<size_t>(heads); list < (block + 1) * static_cast<size_t>(heads); ++list) {
      out.key.insert(out.key.end(), picks.key.begin() + picks.start[list], picks.key.begin() + picks.start[list + 1]);
      out.log_pi.insert(out.log_pi.end(), picks.log_pi.begin() + picks.start[list],
                        picks.log_pi.begin() + picks.start[list + 1]);
      out.start.push_back(static_cast<int64_t>(out.key.size()));
    }
  return out;
}

}  // namespace

at::Tensor rows_to_heads(Communicator& group, const char* what, const at::Tensor& x, const Plan& plan) {
  const int64_t rows = x.size(0), ranks = ranks_of(plan), heads = x.size(1) / ranks, width = x.size(2);
  const at::Tensor send = x.view({rows, ranks, heads, width}).transpose(0, 1).reshape({ranks * rows, heads, width});
  const at::Tensor all = all_to_all_rows(group, what, send, same_for_all(plan, rows), plan.rows_by_rank);
  return plan.place_by_rank.defined() ? all.index_select(0, plan.place_by_rank) : all;
}

at::Tensor heads_to_rows(Communicator& group, const char* what, const at::Tensor& x, const Plan& plan) {
  const int64_t rows = plan.own_rows, ranks = ranks_of(plan), heads = x.size(1), width = x.size(2);
  const at::Tensor send = plan.place_in_stream.defined() ? x.index_select(0, plan.place_in_stream) : x;
  const at::Tensor back = all_to_all_rows(group, what, send, plan.rows_by_rank, same_for_all(plan, rows));
  return back.view({ranks, rows, heads, width}).transpose(0, 1).reshape({rows, ranks * heads, width}).contiguous();
}

at::Tensor units_to_heads(Communicator& group, const std::string& what, const at::Tensor& kv, const Plan& plan) {
  const at::Tensor pieces =
      all_to_all_rows(group, what.c_str(), kv.view({kv.size(0) * kv.size(1), kv.size(2)}),
                      same_for_all(plan, plan.kv_heads * kv.size(1)), times(plan.rows_by_rank, plan.kv_heads));
  if (plan.kv_heads == 1) return pieces.view({1, plan.num_rows, kv.size(2)});
  at::Tensor units = at::empty({plan.kv_heads, plan.num_rows, kv.size(2)}, kv.options());
  for_pieces(pieces, units, plan, [](const at::Tensor& piece, const at::Tensor& part) { part.copy_(piece); });
  return units;
}

at::Tensor units_to_rows(Communicator& group, const std::string& what, const at::Tensor& units, const Plan& plan) {
  at::Tensor pieces = at::empty({plan.kv_heads * plan.num_rows, units.size(2)}, units.options());
  for_pieces(pieces, units, plan, [](const at::Tensor& piece, const at::Tensor& part) { piece.copy_(part); });
  return all_to_all_rows(group, what.c_str(), pieces, times(plan.rows_by_rank, plan.kv_heads),
                         same_for_all(plan, plan.kv_heads * plan.own_rows))
      .view({ranks_of(plan) * plan.kv_heads, plan.own_rows, units.size(2)});
}

template <class T>
kernels::Picks<T> deal_lists(Communicator& group, const std::vector<int64_t>& num_blocks,
                             const std::vector<int64_t>& number, int pick_heads, const kernels::Picks<T>& mine) {
  const int64_t ranks = group.size(), heads = pick_heads / ranks,
                blocks = num_blocks[static_cast<size_t>(group.rank())];
  const std::vector<int64_t> sent_lists(static_cast<size_t>(ranks), blocks * heads);
  std::vector<int64_t> sent_picks(static_cast<size_t>(ranks), 0), got_picks(sent_picks), got_lists(num_blocks);
  for (int64_t& count : got_lists) count *= heads;
  std::vector<int32_t> sizes;
  RawVector<int32_t> key;
  RawVector<T> log_pi;
  for (int64_t to = 0; to < ranks; ++to)
    for (int64_t block = 0; block < blocks; ++block) {
      const size_t list = static_cast<size_t>(block * pick_heads + to * heads);  // its heads' lists lie together
      const int64_t begin = mine.start[list], end = mine.start[list + static_cast<size_t>(heads)];
      for (size_t head = 0; head < static_cast<size_t>(heads); ++head)
        sizes.push_back(static_cast<int32_t>(mine.start[list + head + 1] - mine.start[list + head]));
      key.insert(key.end(), mine.key.begin() + begin, mine.key.begin() + end);
      log_pi.insert(log_pi.end(), mine.log_pi.begin() + begin, mine.log_pi.begin() + end);
      sent_picks[static_cast<size_t>(to)] += end - begin;
    }
  std::vector<int32_t> got_sizes(static_cast<size_t>(std::accumulate(got_lists.begin(), got_lists.end(), int64_t{0})));
  group.all_to_all_v("pick_lists", sizes.data(), sent_lists, got_sizes.data(), got_lists, DType::i32);
  kernels::Picks<T> out;
  size_t list = 0;
  for (size_t from = 0; from < got_lists.size(); ++from)
    for (int64_t i = 0; i < got_lists[from]; ++i, ++list) {
      got_picks[from] += got_sizes[list];
      out.start.push_back(out.start.back() + got_sizes[list]);
    }
  out.key.resize(static_cast<size_t>(out.start.back())), out.log_pi.resize(out.key.size());
  group.all_to_all_v("pick_lists", key.data(), sent_picks, out.key.data(), got_picks, DType::i32);
  group.all_to_all_v("pick_lists", log_pi.data(), sent_picks, out.log_pi.data(), got_picks, kDTypeOf<T>);
  return in_order(std::move(out), number, heads);
}

template kernels::Picks<float> deal_lists(Communicator&, const std::vector<int64_t>&, const std::vector<int64_t>&, int,
                                          const kernels::Picks<float>&);
template kernels::Picks<double> deal_lists(Communicator&, const std::vector<int64_t>&, const std::vector<int64_t>&, int,
                                           const kernels::Picks<double>&);

}  // namespace smartbird
