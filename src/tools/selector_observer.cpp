// Exact attention of a probe block, head by head, in double.
#include "tools/selector_observer.h"

#include <algorithm>
#include <cmath>

#include "ops/plan_parts.h"
#include "ops/sparse_attention.h"
#include "tools/narrow_sketch.h"

namespace smartbird {
namespace {

std::span<const double> values(const at::Tensor& x) {
  return {x.const_data_ptr<double>(), static_cast<size_t>(x.numel())};
}

// Of one row and head, dense output against those of the draws.
void add_outputs(const at::Tensor& dense, int64_t row, int64_t head, const std::vector<at::Tensor>& outputs,
                 HeadReport& out) {
  std::vector<at::Tensor> of_draws;
  for (const at::Tensor& o : outputs) of_draws.push_back(o[row][head]);
  const at::Tensor all = at::stack(of_draws);
  out.output_square += dense.square().sum().item<double>();
  out.error_square += (all - dense).square().sum().item<double>() / kReportDraws;
  out.variance += all.var(0).sum().item<double>();
}

}  // namespace

SelectorReport empty_report(const ModelShape& shape, int64_t query_block) {
  SelectorReport out;
  out.picks = shape.attention.picks, out.query_heads = shape.heads;
  for (int64_t width = 1; width < shape.sketch_width; width *= 2) out.widths.push_back(width);
  out.widths.push_back(shape.sketch_width);
  HeadReport head;
  head.by_picks.resize(std::size(kReportPicks)), head.by_width.resize(out.widths.size());
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    if (shape.pattern[static_cast<size_t>(layer)] != Pattern::Sparse) continue;
    out.layers.push_back(layer);
    out.heads.emplace_back(static_cast<size_t>(shape.heads), head);
  }
  out.traffic = traffic_choices(query_block);
  return out;
}

void SelectorObserver::find_blocks(const StepContext& context, const AttentionSettings& s) {
  const Layout& layout = context.layout;
  const std::vector<Layout::Block> blocks = layout.blocks_of(0);
  const std::vector<kernels::ScanBlock> domains = scan_blocks(layout, s, blocks);
  const double rate =
      blocks_of_sequence_ * static_cast<double>(layout.sequences().size()) / static_cast<double>(blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(blocks[i].sequence)];
    const auto index = static_cast<uint32_t>(blocks[i].index);
    if (uniform_at(context.key(Purpose::Probe), sequence.sample, index, 0, 0) >= rate) continue;
    ProbeBlock probe{.block = static_cast<int64_t>(i),
                     .first_row = sequence.begin + blocks[i].begin,
                     .rows = blocks[i].end - blocks[i].begin,
                     .first_key = sequence.begin,
                     .seen = {},
                     .domain = {}};
    for (int64_t row = blocks[i].begin; row < blocks[i].end; ++row)
      probe.seen.push_back(s.visibility.end(row, sequence.length));
    std::vector<int64_t> keys;
    const auto add = [&](int64_t begin, int64_t end) {
      for (int64_t key = begin; key < end; ++key)
        if (!std::binary_search(s.global_positions.begin(), s.global_positions.end(), key)) keys.push_back(key);
    };
    add(domains[i].left_begin, domains[i].left_end), add(domains[i].right_begin, domains[i].right_end);
    probe.domain = index_tensor(keys);
    blocks_.push_back(std::move(probe));
  }
}

void SelectorObserver::sketched(const StepContext& context, const ObservedSketch& sketch) {
  if (draws_.empty()) find_blocks(context, sketch.settings);
  Drawn& mine = draws_[sketch.number];
  const at::Tensor queries = sketch.scores.queries.to(at::kCPU, at::kDouble),
                   keys = sketch.scores.keys.to(at::kCPU, at::kDouble);
  const std::string prefix = "sketch." + std::to_string(sketch.number) + ".";
  const auto scores_at = [&](const ProbeBlock& probe, const at::Tensor& between) {
    const at::Tensor query = at::mv(between.t(), queries[probe.block]);
    return at::mv(keys.index_select(0, probe.domain + probe.first_key), query) * sketch.scores.scale;
  };
  for (int64_t width : report_.widths) {
    const at::Tensor between =
        narrowed(model_.parameters().value(prefix + "q.weight"), model_.parameters().value(prefix + "k.weight"), width);
    mine.scores.emplace_back();
    for (const ProbeBlock& probe : blocks_) mine.scores.back().push_back(scores_at(probe, between));
  }
  AttentionSettings settings = sketch.settings;
  settings.draw_seed = 0;  // each draw has its own
  for (int i = 0; i < kReportDraws; ++i) {
    const StepContext other{context.world, context.layout, context.timer, static_cast<uint64_t>(i) + 1, 1,
                            Phase::Train,  context.link};
    mine.plans.push_back(make_plan(other, settings, sketch.scores, sketch.input.options()));
  }
  add_traffic(context, model_.parameters(), model_.shape(), sketch, report_.traffic);
}

void SelectorObserver::attended(const StepContext& context, int64_t layer, const at::Tensor& q, const at::Tensor& kv) {
  const auto at = std::find(report_.layers.begin(), report_.layers.end(), layer);
  if (at == report_.layers.end()) return;
  const Drawn& drawn = draws_.at(model_.shape().sketch_of(layer));
  std::vector<HeadReport>& heads = report_.heads[static_cast<size_t>(at - report_.layers.begin())];
  std::vector<at::Tensor> outputs;
  for (const Plan& plan : drawn.plans) outputs.push_back(attend(context, q, kv, plan, {}).to(at::kCPU, at::kDouble));
  const at::Tensor queries = q.to(at::kCPU, at::kDouble), rows = kv.to(at::kCPU, at::kDouble);
  for (size_t probe = 0; probe < blocks_.size(); ++probe)
    for (int64_t head = 0; head < queries.size(1); ++head)
      look(drawn, probe, head, queries, rows, outputs, heads[static_cast<size_t>(head)]);
}

void SelectorObserver::look(const Drawn& drawn, size_t number, int64_t head, const at::Tensor& q, const at::Tensor& kv,
                            const std::vector<at::Tensor>& outputs, HeadReport& out) const {
  const ProbeBlock& probe = blocks_[number];
  const int64_t width = q.size(2), kv_head = head * kv.size(1) / q.size(1), most = probe.seen.back();
  const at::Tensor mine = kv.narrow(0, probe.first_key, most).select(1, kv_head), k = mine.narrow(1, 0, width),
                   v = mine.narrow(1, width, width);
  at::Tensor a = at::zeros({most}, q.options());
  for (int64_t i = 0; i < probe.rows; ++i) {
    const int64_t row = probe.first_row + i, seen = probe.seen[static_cast<size_t>(i)];
    const at::Tensor weights =
        at::softmax(at::mv(k.narrow(0, 0, seen), q[row][head]) / std::sqrt(static_cast<double>(width)), 0);
    a.narrow(0, 0, seen).add_(weights);
    add_outputs(at::mv(v.narrow(0, 0, seen).t(), weights), row, head, outputs, out);
  }
  const at::Tensor in_domain = a.index_select(0, probe.domain);
  add_shares(drawn, number, in_domain, out);
  const double domain = in_domain.sum().item<double>();
  out.rows += static_cast<double>(probe.rows);
  out.domain += domain, out.band += a.sum().item<double>() - domain;
}

void SelectorObserver::add_shares(const Drawn& drawn, size_t number, const at::Tensor& a, HeadReport& out) const {
  if (a.numel() == 0) return;
  const AttentionSettings& settings = model_.shape().attention;
  const bool topk = settings.draw == kernels::DrawMode::TopK;  // its draw is the sketch's best keys
  const auto caught = [&](const BlockShares& shares, int64_t picks) {
    Shares out = shares.caught(picks);
    if (topk) out.sketch = out.topk, out.keys = static_cast<double>(std::min<int64_t>(picks, a.numel()));
    return out;
  };
  for (size_t w = 0; w < report_.widths.size(); ++w) {
    const BlockShares shares(values(a), values(drawn.scores[w][number]), settings.floor, settings.fill);
    out.by_width[w].add(caught(shares, report_.picks));
    if (w + 1 < report_.widths.size()) continue;
    for (size_t i = 0; i < std::size(kReportPicks); ++i) out.by_picks[i].add(caught(shares, kReportPicks[i]));
    out.recall += topk ? shares.recall_of_topk(report_.picks) : shares.recall(report_.picks),
        out.recall_topk += shares.recall_of_topk(report_.picks);
  }
  out.at_picks = out.by_width.back();
  out.blocks += 1;
  out.keys += effective_keys(values(a));
  out.sketch_keys += effective_keys(values(at::softmax(drawn.scores.back()[number], 0)));
}

}  // namespace smartbird
