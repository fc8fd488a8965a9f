// Traffic by operation.
#include "tools/plan_bytes.h"

#include <algorithm>

#include "ops/plan_parts.h"

namespace smartbird {
namespace {

// Rows that ranks fetch around the cuts between them: for every run and side, as many as `left` or `right` reach.
int64_t halo_rows(const Layout& layout, int64_t left, int64_t right) {
  int64_t rows = 0;
  for (const Run& run : layout.runs()) {
    rows += std::min(left, run.begin);
    rows += std::min(right, layout.num_tokens() - run.end);
  }
  return rows;
}

class Traffic {
 public:
  explicit Traffic(const PlanCase& plan) : plan_(plan), e_(static_cast<double>(plan.element_bytes)) {}

  void add_stream(const std::vector<int64_t>& stream) {
    const Layout layout = plan_.layout_of(stream);
    const ModelShape& s = plan_.shape;
    const double sketches = static_cast<double>(s.num_sketches()),
                 others = static_cast<double>(plan_.sequence_ranks - 1), n = static_cast<double>(layout.num_tokens());
    add("sketch_keys", sketches * e_ * static_cast<double>(s.sketch_width) * n * others);
    add_sketch_halos(layout, sketches);
    for (Pattern pattern : {Pattern::Sparse, Pattern::Window, Pattern::Dense})
      if (s.attention.exchange == ExchangePlan::Heads && pattern != Pattern::Window)
        add_heads(layout, pattern);
      else
        add_rows(layout, pattern);
    if (s.attention.exchange == ExchangePlan::Heads) add_lists(stream);
    if (s.attention.exchange == ExchangePlan::Rows)
      add("row_ids", sketches * 4 * static_cast<double>(s.kv_heads) * plan_.phi * n * others);
  }

  void add_step(double streams) {
    const ModelShape& s = plan_.shape;
    const double n = static_cast<double>(count_parameters(s).all()), all = static_cast<double>(plan_.ranks - 1);
    add("gradients", e_ * n * all);
    add("parameters", e_ * n * all);
    const double sparse = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), Pattern::Sparse)),
                 sketches = static_cast<double>(s.num_sketches()), p = static_cast<double>(plan_.sequence_ranks),
                 rows = plan_.probes * plan_.query_block, heads = static_cast<double>(s.heads);
    if (plan_.probes == 0 || sketches == 0 || streams == 0) return;
    add("probe_queries", sparse * e_ * rows * heads * static_cast<double>(s.head_width) * (p - 1));
    add("probe_sums", (sparse * 2 * rows * heads + sketches * 3 * plan_.probes) * e_ * p * (p - 1));
    add("probe_sketch_queries", sketches * e_ * plan_.probes * static_cast<double>(s.sketch_width) * (p - 1));
    add("probe_picks", sketches * 8 * plan_.probes * static_cast<double>(s.attention.pick_heads) *
                           static_cast<double>(s.attention.picks + 1) * (p - 1));
  }

  [[nodiscard]] std::map<std::string, double> take() { return std::move(sent_); }

 private:
  void add(const std::string& name, double bytes) {
    if (bytes > 0) sent_[name] += bytes;
  }

  void add_sketch_halos(const Layout& layout, double sketches) {
    const ModelShape& s = plan_.shape;
    const bool causal = s.attention.visibility.causal, learns = plan_.probes > 0;
    const int64_t taps = s.sketch_taps, b = layout.query_block();
    const int64_t convolution = taps == 0 ? 0
                                : causal  ? halo_rows(layout, taps - 1, 0)
                                          : halo_rows(layout, taps / 2, taps - 1 - taps / 2);
    const int64_t query = b == 1 ? 0 : causal ? halo_rows(layout, b - 1, 0) : halo_rows(layout, 0, b - 1);
    const double near = sketches * e_ * static_cast<double>(convolution * s.sketch_inner),
                 query_bytes = sketches * e_ * static_cast<double>(query * s.sketch_width);
    add("convolution_halo", near), add("query_halo", query_bytes);
    if (learns) add("convolution_halo_backward", near), add("query_halo_backward", query_bytes);
  }

  // Queries, keys and values, outputs of one kind of layer change hands: every rank keeps a P-th of what it has.
  void add_heads(const Layout& layout, Pattern pattern) {
    const ModelShape& s = plan_.shape;
    const double layers = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), pattern));
    if (layers == 0 || layout.num_ranks() == 1) return;
    const double p = static_cast<double>(plan_.sequence_ranks),
                 moved = layers * e_ * static_cast<double>(layout.num_tokens() * s.head_width) * (p - 1) / p,
                 queries = moved * static_cast<double>(s.heads), rows = moved * 2 * static_cast<double>(s.kv_heads),
                 there = s.bfloat16_kv ? 2 / e_ : 1, runs = s.recompute_layers ? 2 : 1;
    add("head_queries", runs * queries), add("head_queries_backward", queries);
    add("head_outputs", runs * queries), add("head_outputs_backward", queries);
    add("head_rows", runs * there * rows), add("head_rows_backward", rows);
    if (s.fetch_again) add("head_rows_again", there * rows);
  }

  // Picks of other ranks' heads: a size a list, a key and its log π a pick; at most, for certain picks use up a budget.
  void add_lists(const std::vector<int64_t>& stream) {
    PlanCase one = plan_;
    one.streams = {stream};
    const PairCounts pairs = count_pairs(one);
    const double p = static_cast<double>(plan_.sequence_ranks),
                 heads = static_cast<double>(plan_.shape.attention.pick_heads),
                 picks = pairs.picks / static_cast<double>(plan_.query_block);
    add("pick_lists", static_cast<double>(plan_.shape.num_sketches()) * heads * (p - 1) / p *
                          (4 * static_cast<double>(pairs.blocks) + (4 + e_) * picks));
  }

  // Keys and values of one kind of layer.
  void add_rows(const Layout& layout, Pattern pattern) {
    const ModelShape& s = plan_.shape;
    const double layers = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), pattern));
    if (layers == 0 || layout.num_ranks() == 1) return;
    AttentionSettings settings = s.attention;
    settings.pattern = pattern;
    const bool all = settings.exchange == ExchangePlan::All;
    double halo = 0, globals = 0;
    for (int rank = 0; rank < layout.num_ranks(); ++rank) {
      halo += static_cast<double>((all ? foreign_tokens(layout, rank) : band_halo(layout, settings, rank)).size());
      if (!all) globals += static_cast<double>(global_halo(layout, settings, rank).size());
    }
    const double row = e_ * 2 * static_cast<double>(s.head_width * s.kv_heads), there = s.bfloat16_kv ? 2 / e_ : 1;
    const double fetches = s.recompute_layers ? 2 : 1;
    const auto fetch = [&](const std::string& name, double bytes) {
      add(name, layers * fetches * there * bytes), add(name + "_backward", layers * bytes);
      if (s.fetch_again) add(name + "_again", layers * there * bytes);
    };
    fetch(all ? "rows" : "band_halo", row * halo);
    fetch("global_keys", row * globals);
    if (pattern == Pattern::Sparse && !all)
      fetch("rows", row * plan_.phi * static_cast<double>(layout.num_tokens() * (plan_.sequence_ranks - 1)));
  }

  const PlanCase& plan_;
  double e_;
  std::map<std::string, double> sent_;
};

}  // namespace

std::map<std::string, double> predict_sent_bytes(const PlanCase& plan) {
  Traffic traffic(plan);
  for (const auto& stream : plan.streams) traffic.add_stream(stream);
  traffic.add_step(static_cast<double>(plan.streams.size()));
  return traffic.take();
}

}  // namespace smartbird
