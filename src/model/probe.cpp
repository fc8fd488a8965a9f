// Probe blocks: which, their exact attention, their picks.
#include "model/probe.h"

#include <cmath>
#include <limits>

#include "kernels/probe_softmax.h"
#include "ops/collectives.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

// My rows of a sequence: contiguous among my rows, since those ascend with the stream.
Span my_rows_of(const std::vector<int64_t>& tokens, const Sequence& sequence) {
  const auto begin = std::lower_bound(tokens.begin(), tokens.end(), sequence.begin);
  const auto end = std::lower_bound(begin, tokens.end(), sequence.begin + sequence.length);
  return {begin - tokens.begin(), end - tokens.begin()};
}

}  // namespace

Probes::Probes(const StepContext& context, const ModelShape& shape, double rate, const Plan& plan, int64_t sketch)
    : shape_(shape) {
  find(context, rate, sketch);
  gather_picks(context, plan);
}

void Probes::find(const StepContext& context, double rate, int64_t sketch) {
  const Layout& layout = context.layout;
  const AttentionSettings& s = shape_.attention;
  const PhiloxKey key = context.key(Purpose::Probe);
  const std::vector<int64_t> tokens = layout.tokens_of(context.rank());
  std::vector<int64_t> position, my_rows, my_blocks;
  position.reserve(tokens.size());
  for (int64_t token : tokens)
    position.push_back(token - layout.sequences()[static_cast<size_t>(layout.sequence_of(token))].begin);
  my_position_ = index_tensor(position);
  for (int rank = 0; rank < layout.num_ranks(); ++rank) {
    const size_t probes_before = probes_.size();
    const int64_t rows_before = total_rows_;
    int64_t row = 0, number = -1;
    for (const Layout::Block& block : layout.blocks_of(rank)) {
      ++number;
      const int64_t first = row, rows = block.end - block.begin;
      row += rows;
      const Sequence& sequence = layout.sequences()[static_cast<size_t>(block.sequence)];
      if (uniform_at(key, sequence.sample, static_cast<uint32_t>(block.index), static_cast<uint32_t>(sketch), 0) >=
          rate)
        continue;
      const Span mine = my_rows_of(tokens, sequence);
      Probe probe;
      probe.block = block, probe.length = sequence.length;
      probe.first_row = total_rows_, probe.rows = rows, probe.key_begin = mine.begin, probe.key_end = mine.end;
      kernels::ScanBlock domain;
      set_domain(domain, s.visibility, s.window, block, layout.query_block(), sequence.length);
      const at::Tensor at = my_position_.narrow(0, mine.begin, mine.end - mine.begin);
      probe.domain =
          at::logical_or(at < domain.left_end, at::logical_and(at >= domain.right_begin, at < domain.right_end));
      for (int64_t global : s.global_positions) probe.domain.logical_and_(at != global);
      const int64_t* position_of = my_position_.const_data_ptr<int64_t>();
      probe.seen_keys = std::lower_bound(position_of + mine.begin, position_of + mine.end,
                                         s.visibility.end(block.end - 1, sequence.length)) -
                        position_of - mine.begin;
      const int64_t size = kernels::domain_size(domain, s.global_positions);
      probe.uniform_share = size > 0 ? std::min(1.0, static_cast<double>(s.picks) / static_cast<double>(size)) : 0.0;
      total_rows_ += rows;
      probes_.push_back(std::move(probe));
      if (rank != context.rank()) continue;
      my_blocks.push_back(number);
      for (int64_t i = 0; i < rows; ++i) my_rows.push_back(first + i);
    }
    probes_by_rank_.push_back(static_cast<int64_t>(probes_.size() - probes_before));
    rows_by_rank_.push_back(total_rows_ - rows_before);
  }
  my_rows_ = index_tensor(my_rows), my_blocks_ = index_tensor(my_blocks);
}

void Probes::gather_picks(const StepContext& context, const Plan& plan) {
  const int64_t heads = plan.drawn_heads;
  std::vector<int64_t> counts, keys, count_sizes, all_counts(probes_.size() * static_cast<size_t>(heads));
  const int64_t* mine = my_blocks_.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < my_blocks_.size(0); ++i)
    for (int64_t h = 0; h < heads; ++h) {
      const size_t list = static_cast<size_t>(mine[i] * heads + h);
      counts.push_back(plan.drawn_start[list + 1] - plan.drawn_start[list]);
      keys.insert(keys.end(), plan.drawn_key.begin() + plan.drawn_start[list],
                  plan.drawn_key.begin() + plan.drawn_start[list + 1]);
    }
  for (int64_t probes : probes_by_rank_) count_sizes.push_back(probes * heads);
  Communicator& group = context.group();
  group.all_gather("probe_picks", counts.data(), all_counts.data(), count_sizes, DType::i64);
  std::vector<int64_t> key_sizes;
  size_t next = 0;
  for (int64_t size : count_sizes) {
    key_sizes.push_back(0);
    for (int64_t i = 0; i < size; ++i) key_sizes.back() += all_counts[next++];
  }
  int64_t total = 0;
  for (int64_t size : key_sizes) total += size;
  std::vector<int64_t> all_keys(static_cast<size_t>(total));
  group.all_gather("probe_picks", keys.data(), all_keys.data(), key_sizes, DType::i64);
  const int64_t* position = my_position_.const_data_ptr<int64_t>();
  size_t list = 0, at = 0;
  for (Probe& probe : probes_)
    for (int64_t h = 0; h < heads; ++h, ++list) {
      std::vector<int64_t> index;
      for (int64_t i = 0; i < all_counts[list]; ++i, ++at) {
        const int64_t* found = std::lower_bound(position + probe.key_begin, position + probe.key_end, all_keys[at]);
        if (found != position + probe.key_end && *found == all_keys[at])
          index.push_back(found - position - probe.key_begin);
      }
      probe.picked.push_back(index_tensor(index));
    }
}

// How many of my keys [begin, ...) of the probe's sequence its rows see: [rows · per], a row's heads alike.
std::vector<int64_t> Probes::seen(const Probe& probe, int64_t begin) const {
  const int64_t *position = my_position_.const_data_ptr<int64_t>(), *first = position + probe.key_begin,
                *last = position + probe.key_end;
  std::vector<int64_t> out;
  for (int64_t i = probe.block.begin; i < probe.block.end; ++i) {
    const int64_t end = shape_.attention.visibility.end(i, probe.length);
    out.insert(out.end(), static_cast<size_t>(shape_.heads / shape_.kv_heads),
               std::lower_bound(first, last, end) - first - begin);
  }
  return out;
}

// body(probe, first key, scores [G, rows · H/G, keys] of its rows against my keys from there on) in pieces that stay in cache.
template <class Body>
void Probes::for_scores(const at::Tensor& q, const at::Tensor& k, Body body) {
  constexpr int64_t kPieceBytes = 2 << 20;
  const int64_t kv_heads = shape_.kv_heads, per = shape_.heads / kv_heads, width = shape_.head_width;
  for (Probe& probe : probes_) {
    const at::Tensor rows = q.narrow(0, probe.first_row, probe.rows)
                                .view({probe.rows, kv_heads, per, width})
                                .transpose(0, 1)
                                .reshape({kv_heads, probe.rows * per, width});
    const int64_t row_bytes = shape_.heads * probe.rows * static_cast<int64_t>(q.element_size());
    const int64_t step = std::max<int64_t>(1, std::min(shape_.probe_budget_bytes, kPieceBytes) / row_bytes);
    for (int64_t begin = 0; begin < probe.seen_keys; begin += step) {
      const int64_t keys = std::min(step, probe.seen_keys - begin);
      body(probe, begin, at::bmm(rows, k.narrow(0, probe.key_begin + begin, keys).permute({1, 2, 0})));
    }
  }
}

void Probes::add_layer(const StepContext& context, const at::Tensor& q_in, const at::Tensor& k_in) {
  const at::NoGradGuard no_grad;
  const auto timing = context.timer.measure("probe");
  const at::Tensor k = k_in.detach(), q = all_gather_rows(context.tensors(), "probe_queries",
                                                          q_in.detach().index_select(0, my_rows_), rows_by_rank_) /
                                          std::sqrt(static_cast<double>(shape_.head_width));
  const int64_t heads = shape_.heads, kv_heads = shape_.kv_heads, per = heads / kv_heads;
  // of each probe [G, rows, H/G]
  at::Tensor largest = at::full({total_rows_ * heads}, kNone, q.options()), sum = at::zeros_like(largest);
  for_scores(q, k, [&](const Probe& probe, int64_t begin, const at::Tensor& s) {
    const std::vector<int64_t> seen_keys = seen(probe, begin);
    with_float_type(s, [&](auto t) {
      using T = decltype(t);
      for (int64_t g = 0; g < kv_heads; ++g) {
        const int64_t at = probe.first_row * heads + g * s.size(1);
        kernels::softmax_state<T>(s.const_data_ptr<T>() + g * s.size(1) * s.size(2), seen_keys.data(), s.size(1),
                                  s.size(2), largest.mutable_data_ptr<T>() + at, sum.mutable_data_ptr<T>() + at);
      }
    });
  });
  at::Tensor global = largest.clone();
  all_reduce_(context.tensors(), "probe_sums", global, ReduceOp::Max);
  sum.mul_((largest - global).exp());
  all_reduce_(context.tensors(), "probe_sums", sum, ReduceOp::Sum);
  // The heads that pick together are rows that lie together, or every per-th row.
  const int64_t pick_heads = shape_.attention.pick_heads, step = pick_heads == kv_heads ? 1 : per;
  at::Tensor by_head;  // [pick heads, keys seen]
  for_scores(q, k, [&](Probe& probe, int64_t begin, const at::Tensor& s) {
    if (begin == 0) by_head = at::zeros({pick_heads, probe.seen_keys}, q.options());
    const std::vector<int64_t> seen_keys = seen(probe, begin);
    with_float_type(s, [&](auto t) {
      using T = decltype(t);
      for (int64_t h = 0; h < pick_heads; ++h) {
        const int64_t row = h / step * s.size(1) + h % step, at = probe.first_row * heads + row;
        kernels::add_softmax<T>(s.const_data_ptr<T>() + row * s.size(2), seen_keys.data(), s.size(1) / step, step,
                                s.size(2), global.const_data_ptr<T>() + at, sum.const_data_ptr<T>() + at,
                                by_head.mutable_data_ptr<T>() + h * probe.seen_keys + begin);
      }
    });
    if (begin + s.size(2) == probe.seen_keys) add_mass(probe, by_head);
  });
}

// by_head [pick heads, keys seen]: a layer's attention, summed over rows.
void Probes::add_mass(Probe& probe, const at::Tensor& by_head) {
  const at::Tensor all = by_head.sum(0),
                   in_domain = at::where(probe.domain.narrow(0, 0, probe.seen_keys), all, at::zeros_like(all));
  if (!probe.target.defined()) probe.target = at::zeros({probe.key_end - probe.key_begin}, by_head.options());
  probe.target.narrow(0, 0, probe.seen_keys).add_(in_domain);
  const double domain = in_domain.sum().item<double>();
  mass_.all += all.sum().item<double>();
  mass_.domain += domain;
  mass_.uniform += domain * probe.uniform_share;
  for (size_t h = 0; h < probe.picked.size(); ++h)
    mass_.picked += by_head[static_cast<int64_t>(h)].index_select(0, probe.picked[h]).sum().item<double>();
}

}  // namespace smartbird
