// Probe blocks: which, their exact attention, their picks.
#include "model/probe.h"

#include <cmath>
#include <limits>

#include "ops/collectives.h"
#include "ops/device_tensors.h"
#include "ops/products.h"
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

void ProbeMass::add(const ProbeMass& other) {
  all += other.all, domain += other.domain, picked += other.picked, uniform += other.uniform, target += other.target;
}

Probes::Probes(const StepContext& context, const ModelShape& shape, double rate, int64_t picks, int64_t sketch,
               const at::TensorOptions& options)
    : shape_(shape), mass_(at::zeros({5}, options.dtype(at::kDouble))) {
  find(context, rate, picks, sketch, options.device());
}

ProbeMass Probes::mass() const {
  const at::Tensor here = mass_.cpu();
  const double* values = here.const_data_ptr<double>();
  return {.all = values[0], .domain = values[1], .picked = values[2], .uniform = values[3], .target = values[4]};
}

void Probes::find(const StepContext& context, double rate, int64_t picks, int64_t sketch, at::Device device) {
  const Layout& layout = context.layout;
  const AttentionSettings& s = shape_.attention;
  const PhiloxKey key = context.key(Purpose::Probe);
  const std::vector<int64_t> tokens = layout.tokens_of(context.rank());
  std::vector<int64_t> my_rows;
  position_.reserve(tokens.size());
  for (int64_t token : tokens)
    position_.push_back(token - layout.sequences()[static_cast<size_t>(layout.sequence_of(token))].begin);
  const at::Tensor my_position = index_tensor(position_, device);
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
      const at::Tensor at = my_position.narrow(0, mine.begin, mine.end - mine.begin);
      probe.domain =
          at::logical_or(at < domain.left_end, at::logical_and(at >= domain.right_begin, at < domain.right_end));
      for (int64_t global : s.global_positions) probe.domain.logical_and_(at != global);
      const int64_t* position_of = position_.data();
      probe.seen_keys = std::lower_bound(position_of + mine.begin, position_of + mine.end,
                                         s.visibility.end(block.end - 1, sequence.length)) -
                        position_of - mine.begin;
      probe.learned = probe.domain;
      if (shape_.sketch_of_visible)
        probe.learned = at::arange(mine.end - mine.begin, my_position.options()) < probe.seen_keys;
      probe.seen = seen_by(probe, device);
      const int64_t size = kernels::domain_size(domain, s.global_positions);
      probe.uniform_share = size > 0 ? std::min(1.0, static_cast<double>(picks) / static_cast<double>(size)) : 0.0;
      total_rows_ += rows;
      probes_.push_back(std::move(probe));
      if (rank != context.rank()) continue;
      blocks_.push_back(number);
      for (int64_t i = 0; i < rows; ++i) my_rows.push_back(first + i);
    }
    probes_by_rank_.push_back(static_cast<int64_t>(probes_.size() - probes_before));
    rows_by_rank_.push_back(total_rows_ - rows_before);
  }
  my_rows_ = index_tensor(my_rows, device), my_blocks_ = index_tensor(blocks_, device);
}

void Probes::watch(const StepContext& context, const Plan& plan) {
  const int64_t heads = plan.drawn_heads;
  std::vector<int64_t> counts, keys, count_sizes, all_counts(probes_.size() * static_cast<size_t>(heads));
  for (const int64_t block : blocks_)
    for (int64_t h = 0; h < heads; ++h) {
      const size_t list = static_cast<size_t>(block * heads + h);
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
  size_t list = 0, at = 0;
  std::vector<int64_t> index, end;
  for (const Probe& probe : probes_) {
    const auto first = position_.begin() + probe.key_begin, last = position_.begin() + probe.key_end;
    for (int64_t h = 0; h < heads; ++h, ++list)
      for (int64_t i = 0; i < all_counts[list]; ++i, ++at) {
        const auto found = std::lower_bound(first, last, all_keys[at]);
        if (found != last && *found == all_keys[at]) index.push_back(h * probe.seen_keys + (found - first));
      }
    end.push_back(static_cast<int64_t>(index.size()));
  }
  const at::Tensor all_index = index_tensor(index, mass_.device());
  for (size_t p = 0; p < probes_.size(); ++p) {
    const int64_t begin = p == 0 ? 0 : end[p - 1];
    probes_[p].picked = all_index.narrow(0, begin, end[p] - begin);
  }
}

void Probes::watch_all_keys() {
  const int64_t heads = shape_.attention.pick_heads;
  for (Probe& probe : probes_) {
    const at::Tensor keys = probe.domain.narrow(0, 0, probe.seen_keys).nonzero().select(1, 0),
                     first = at::arange(heads, keys.options()) * probe.seen_keys;
    probe.picked = (first.unsqueeze(1) + keys.unsqueeze(0)).flatten();
  }
}

SeenKeys Probes::seen_by(const Probe& probe, at::Device device) const {
  const int64_t *first = position_.data() + probe.key_begin, *last = position_.data() + probe.key_end;
  SeenKeys out;
  for (int64_t i = probe.block.begin; i < probe.block.end; ++i) {
    const int64_t end = shape_.attention.visibility.end(i, probe.length);
    out.here.insert(out.here.end(), static_cast<size_t>(shape_.heads / shape_.kv_heads),
                    std::lower_bound(first, last, end) - first);
  }
  out.there = index_tensor(out.here, device);
  return out;
}

// body(probe, first key, scores [G, rows · H/G, keys] of its rows against my keys from there on) in pieces, on a CPU such as stay in cache.
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
    const int64_t most = on_device(q) ? shape_.probe_budget_bytes : std::min(shape_.probe_budget_bytes, kPieceBytes),
                  step = std::max<int64_t>(1, most / row_bytes);
    for (int64_t begin = 0; begin < probe.seen_keys; begin += step) {
      const int64_t keys = std::min(step, probe.seen_keys - begin);
      body(probe, begin, at::bmm(rows, k.narrow(0, probe.key_begin + begin, keys).permute({1, 2, 0})));
    }
  }
}

void Probes::add_layer(const StepContext& context, const at::Tensor& q_in, const at::Tensor& k_in) {
  const at::NoGradGuard no_grad;
  const auto timing = context.timer.measure("probe");
  const at::Tensor k = widened(k_in.detach()),
                   q = all_gather_rows(context.tensors(), "probe_queries",
                                       widened(q_in.detach().index_select(0, my_rows_)), rows_by_rank_) /
                       std::sqrt(static_cast<double>(shape_.head_width));
  const int64_t heads = shape_.heads, kv_heads = shape_.kv_heads, per = heads / kv_heads;
  // of each probe [G, rows, H/G]
  at::Tensor largest = at::full({total_rows_ * heads}, kNone, q.options()), sum = at::zeros_like(largest);
  const auto of = [&](const at::Tensor& all, const Probe& probe) {
    return all.narrow(0, probe.first_row * heads, probe.rows * heads).view({kv_heads, probe.rows * per});
  };
  for_scores(q, k, [&](const Probe& probe, int64_t begin, const at::Tensor& s) {
    add_to_softmax(s, probe.seen, begin, of(largest, probe), of(sum, probe));
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
    add_softmax_mass(s, probe.seen, begin, step, of(global, probe), of(sum, probe),
                     by_head.narrow(1, begin, s.size(2)));
    if (begin + s.size(2) == probe.seen_keys) add_mass(probe, by_head);
  });
}

// by_head [pick heads, keys seen]: a layer's attention, summed over rows.
void Probes::add_mass(Probe& probe, const at::Tensor& by_head) {
  const at::Tensor all = by_head.sum(0);
  const auto of = [&](const at::Tensor& keys) {
    return at::where(keys.narrow(0, 0, probe.seen_keys), all, at::zeros_like(all));
  };
  const at::Tensor in_domain = of(probe.domain), learned = of(probe.learned);
  if (!probe.target.defined()) probe.target = at::zeros({probe.key_end - probe.key_begin}, by_head.options());
  probe.target.narrow(0, 0, probe.seen_keys).add_(learned);
  const at::Tensor domain = in_domain.sum().to(at::kDouble),
                   picked = by_head.view(-1).index_select(0, probe.picked).sum().to(at::kDouble);
  mass_ += at::stack(
      {all.sum().to(at::kDouble), domain, picked, domain * probe.uniform_share, learned.sum().to(at::kDouble)});
}

}  // namespace smartbird
