// Probe blocks: which, their exact attention, their picks.
#include "model/probe.h"

#include <cmath>
#include <limits>

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
  const int64_t heads = plan.pick_heads;
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

// [rows, 1, end - begin] bool: which of my keys each row of the probe sees.
at::Tensor Probes::visible(const Probe& probe, int64_t begin, int64_t end) const {
  std::vector<int64_t> ends;
  for (int64_t i = probe.block.begin; i < probe.block.end; ++i)
    ends.push_back(shape_.attention.visibility.end(i, probe.length));
  const at::Tensor at = my_position_.narrow(0, probe.key_begin + begin, end - begin);
  return (at.unsqueeze(0) < index_tensor(ends).unsqueeze(1)).unsqueeze(1);
}

// [G, rows, H/G, end - begin] attention scores of a probe's rows against my keys, -inf where not visible.
at::Tensor Probes::scores(const Probe& probe, const at::Tensor& q, const at::Tensor& k, int64_t begin,
                          int64_t end) const {
  const int64_t kv_heads = shape_.kv_heads, per = shape_.heads / kv_heads, width = shape_.head_width,
                keys = end - begin;
  const at::Tensor rows =
      q.narrow(0, probe.first_row, probe.rows).view({probe.rows, kv_heads, per, width}).transpose(0, 1);
  const at::Tensor mine = k.narrow(0, probe.key_begin + begin, keys).permute({1, 2, 0});
  const at::Tensor s =
      at::matmul(rows.reshape({kv_heads, probe.rows * per, width}), mine).view({kv_heads, probe.rows, per, keys});
  return (s / std::sqrt(static_cast<double>(width)))
      .masked_fill(visible(probe, begin, end).logical_not().unsqueeze(0), kNone);
}

int64_t Probes::chunk_keys(const Probe& probe) const {
  return std::max<int64_t>(1, shape_.probe_budget_bytes / (8 * shape_.heads * probe.rows * 4));
}

void Probes::add_layer(const StepContext& context, const at::Tensor& q_in, const at::Tensor& k_in) {
  const at::NoGradGuard no_grad;
  const at::Tensor q =
      all_gather_rows(context.group(), "probe_queries", q_in.detach().index_select(0, my_rows_), rows_by_rank_);
  const at::Tensor k = k_in.detach();
  const int64_t kv_heads = shape_.kv_heads, per = shape_.heads / kv_heads;
  at::Tensor largest = at::full({total_rows_, kv_heads, per}, kNone, q.options()), sum = at::zeros_like(largest);
  const auto for_chunks = [&](auto body) {
    for (Probe& probe : probes_)
      for (int64_t begin = 0, keys = probe.key_end - probe.key_begin, step = chunk_keys(probe); begin < keys;
           begin += step)
        body(probe, begin, std::min(keys, begin + step));
  };
  for_chunks([&](Probe& probe, int64_t begin, int64_t end) {
    at::Tensor m = largest.narrow(0, probe.first_row, probe.rows), l = sum.narrow(0, probe.first_row, probe.rows);
    const at::Tensor s = scores(probe, q, k, begin, end).transpose(0, 1);  // [rows, G, H/G, keys]
    const at::Tensor next = at::maximum(m, s.amax(-1)), safe = next.masked_fill(next == kNone, 0);
    l.copy_(l * (m - safe).exp() + (s - safe.unsqueeze(-1)).exp().sum(-1));
    m.copy_(next);
  });
  at::Tensor global = largest.clone();
  all_reduce_(context.group(), "probe_sums", global, ReduceOp::Max);
  sum.mul_((largest - global).exp());
  all_reduce_(context.group(), "probe_sums", sum, ReduceOp::Sum);
  const bool by_query = shape_.attention.pick_heads != shape_.attention.kv_heads;
  for_chunks([&](Probe& probe, int64_t begin, int64_t end) {
    const at::Tensor m = global.narrow(0, probe.first_row, probe.rows), l = sum.narrow(0, probe.first_row, probe.rows);
    const at::Tensor p = (scores(probe, q, k, begin, end).transpose(0, 1) - m.unsqueeze(-1)).exp() / l.unsqueeze(-1);
    const at::Tensor by_head = by_query ? p.sum(0).flatten(0, 1) : p.sum(at::IntArrayRef{0, 2});  // [pick heads, keys]
    const at::Tensor all = by_head.sum(0),
                     in_domain = at::where(probe.domain.narrow(0, begin, end - begin), all, at::zeros_like(all));
    if (!probe.target.defined()) probe.target = at::zeros({probe.key_end - probe.key_begin}, q.options());
    probe.target.narrow(0, begin, end - begin).add_(in_domain);
    const double domain = in_domain.sum().item<double>();
    mass_.all += all.sum().item<double>();
    mass_.domain += domain;
    mass_.uniform += domain * probe.uniform_share;
    for (size_t h = 0; h < probe.picked.size(); ++h) {
      const at::Tensor& picked = probe.picked[h];
      const at::Tensor here = picked.masked_select(at::logical_and(picked >= begin, picked < end)) - begin;
      mass_.picked += by_head[static_cast<int64_t>(h)].index_select(0, here).sum().item<double>();
    }
  });
}

}  // namespace smartbird
