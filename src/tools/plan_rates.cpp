// The calibration: a product of the MLP's shape, a scan, a draw from it, a band of attention forward and backward, a sum
// of long arrays.
#include "tools/plan_rates.h"

#include <algorithm>
#include <numeric>

#include "core/timer.h"
#include "kernels/draw_needs.h"
#include "kernels/filled_scan.h"
#include "kernels/sparse_attention.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

// A rate does not grow beyond these widths; a model may be too wide for this machine.
constexpr int64_t kRows = 2048, kWidest = 4096, kWidestHead = 256;
constexpr int kMostHeads = 16;  // that draw; of more each is taken to cost as much
constexpr int kRuns = 4;
constexpr double kEnoughMs = 250;  // of runs of one kind

// Work a second in the fastest of a few runs.
template <class Body>
double rate_of(double work, Body body) {
  double best_ms = 1e30;
  const Stopwatch all;
  for (int run = 0; run < kRuns && (run == 0 || all.elapsed_ms() < kEnoughMs); ++run) {
    const Stopwatch watch;
    body();
    best_ms = std::min(best_ms, watch.elapsed_ms());
  }
  return work / (best_ms * 1e-3);
}

at::Tensor waves(at::IntArrayRef shape) {
  int64_t count = 1;
  for (int64_t n : shape) count *= n;
  return at::arange(count, at::kFloat).sin_().view(shape);
}

double gemm_rate(const ModelShape& s) {
  const int64_t width = std::min(s.width, kWidest), inner = std::min(s.mlp_width, kWidest);
  const at::Tensor x = waves({kRows, width}), w = waves({inner, width});
  at::Tensor y = at::empty({kRows, inner});
  return rate_of(2.0 * kRows * static_cast<double>(width * inner), [&] { at::mm_out(y, x, w.t()); });
}

// Keys that a block of the longest sequence sees on average, as far as they are needed: what a block costs beside its keys
// (its likeliest ones, its picks) counts for less the more there are.
int64_t keys_seen(const PlanCase& plan) {
  int64_t longest = 0;
  for (const std::vector<int64_t>& stream : plan.streams)
    for (int64_t tokens : stream) longest = std::max(longest, tokens);
  return std::clamp<int64_t>(plan.shape.attention.visibility.causal ? longest / 2 : longest, kRows / 4, 8 * kRows);
}

// A sketch that looks from one row of each block at kRows² pairs at most.
class SketchCase {
 public:
  explicit SketchCase(const PlanCase& plan)
      : keys_(keys_seen(plan)),
        rows_(std::min(kRows, kRows * kRows / keys_)),
        q_(waves({rows_, std::max<int64_t>(1, plan.shape.sketch_width)})),
        k_(waves({keys_, q_.size(1)}).cos()),
        blocks_(static_cast<size_t>(rows_)),
        lse_(static_cast<size_t>(rows_)) {
    const AttentionSettings& a = plan.shape.attention;
    for (int64_t i = 0; i < rows_; ++i) {
      kernels::ScanBlock& block = blocks_[static_cast<size_t>(i)];
      block.index = i, block.group = a.share_rows == 0 ? 0 : i * plan.query_block / a.share_rows;
      block.left_end = keys_;
    }
    draw_.mode = a.draw, draw_.picks = a.picks, draw_.floor = a.floor, draw_.fill = a.fill;
    draw_.heads = std::min(a.pick_heads, kMostHeads);
    of_all_heads_ = static_cast<double>(draw_.heads) / a.pick_heads;
    input_ = {.queries = q_.const_data_ptr<float>(),
              .keys = k_.const_data_ptr<float>(),
              .width = q_.size(1),
              .scale = 0.1F,
              .blocks = blocks_,
              .excluded = {}};
  }
  SketchCase(const SketchCase&) = delete;
  SketchCase& operator=(const SketchCase&) = delete;
  [[nodiscard]] double scan_rate() {
    return rate_of(flops(), [&] { kernels::scan_for_draw<float>(input_, draw_, lse_.data()); });
  }
  // After a scan.
  [[nodiscard]] double draw_rate() {
    return of_all_heads_ * rate_of(flops(), [&] {
             kernels::Picks<float> picks;
             kernels::draw<float>(input_, lse_.data(), draw_, picks);
           });
  }

 private:
  [[nodiscard]] double flops() const { return 2.0 * static_cast<double>(rows_ * keys_ * q_.size(1)); }

  int64_t keys_, rows_;
  at::Tensor q_, k_;
  double of_all_heads_ = 1;
  std::vector<kernels::ScanBlock> blocks_;
  std::vector<double> lse_;
  kernels::DrawOptions draw_;
  kernels::ScanInput<float> input_;
};

double attention_rate(const ModelShape& s) {
  const int64_t d = std::min(s.head_width, kWidestHead), window = 64, queries_of_kv = s.heads / s.kv_heads,
                kv_heads = std::clamp<int64_t>(kWidest / (queries_of_kv * d), 1, s.kv_heads),
                heads = kv_heads * std::min(queries_of_kv, kWidest / d);
  const at::Tensor q = waves({kRows, heads, d}), kv = waves({kRows * kv_heads, 2 * d});
  std::vector<int64_t> begin, end, block;
  std::vector<int32_t> slot(kRows);
  std::iota(slot.begin(), slot.end(), 0);
  double pairs = 0;
  for (int64_t i = 0; i < kRows; ++i) {
    begin.push_back(std::max<int64_t>(0, i - window)), end.push_back(i + 1), block.push_back(i);
    pairs += static_cast<double>(end.back() - begin.back());
  }
  kernels::AttentionInput<float> in;
  in.rows = kRows, in.units = kRows * kv_heads, in.heads = static_cast<int>(heads);
  in.kv_heads = static_cast<int>(kv_heads), in.width = static_cast<int>(d), in.scale = 0.1F;
  in.q = q.const_data_ptr<float>(), in.kv = kv.const_data_ptr<float>();
  in.band_begin = begin.data(), in.band_end = end.data(), in.row_block = block.data();
  in.token_slot = slot.data(), in.num_tokens = in.slots = in.blocks = kRows;
  at::Tensor acc = at::empty_like(q), o = at::empty_like(q), grad_q = at::empty_like(q), grad_kv = at::empty_like(kv),
             m = at::empty({kRows, heads}), l = at::empty_like(m), lse = at::empty_like(m);
  float *mp = m.mutable_data_ptr<float>(), *lp = l.mutable_data_ptr<float>(), *ap = acc.mutable_data_ptr<float>(),
        *op = o.mutable_data_ptr<float>(), *ep = lse.mutable_data_ptr<float>();
  return rate_of(14.0 * static_cast<double>(heads * d) * pairs, [&] {
    kernels::attention_begin<float>(in.rows, in.heads, in.width, mp, lp, ap);
    kernels::attention_band<float>(in, mp, lp, ap);
    kernels::attention_finish<float>(in.rows, in.heads, in.width, mp, lp, ap, op, ep);
    kernels::attention_backward<float>(in, op, ep, op, grad_q.mutable_data_ptr<float>(),
                                       grad_kv.mutable_data_ptr<float>());
  });
}

double memory_rate() {
  constexpr int64_t kElements = 1 << 23;
  const at::Tensor a = at::ones({kElements}), b = at::ones({kElements});
  at::Tensor c = at::empty({kElements});
  return rate_of(3.0 * 4 * kElements, [&] { at::add_out(c, a, b); });
}

}  // namespace

std::map<Rate, double> measure_rates(const PlanCase& plan) {
  const at::NoGradGuard no_grad;
  const ModelShape& s = plan.shape;
  std::map<Rate, double> out{
      {Rate::Gemm, gemm_rate(s)}, {Rate::Attention, attention_rate(s)}, {Rate::Memory, memory_rate()}};
  if (s.draws().empty() || !kernels::needs_scores(s.attention.draw)) return out;
  SketchCase sketch(plan);
  out[Rate::Scan] = sketch.scan_rate();
  out[Rate::Draw] = sketch.draw_rate();
  return out;
}

const char* name_of(Rate rate) {
  switch (rate) {
    case Rate::Gemm: return "products";
    case Rate::Scan: return "scan";
    case Rate::Draw: return "draw";
    case Rate::Attention: return "attention";
    case Rate::Memory: return "memory";
  }
  return "";
}

}  // namespace smartbird
