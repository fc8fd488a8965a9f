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
  explicit Traffic(const PlanCase& plan)
      : plan_(plan),
        e_(static_cast<double>(plan.element_bytes)),
        attended_(static_cast<double>(plan.shape.attended_bytes(plan.element_bytes))),
        p_(static_cast<double>(plan.sequence_ranks)),
        replicas_(static_cast<double>(plan.ranks / plan.sequence_ranks)) {}

  void add_stream(const std::vector<int64_t>& stream) {
    const Layout layout = plan_.layout_of(stream);
    const ModelShape& s = plan_.shape;
    const double sketches = static_cast<double>(s.num_sketches()), n = static_cast<double>(layout.num_tokens());
    add("sketch_keys", sketches * e_ * static_cast<double>(s.sketch_width) * n * (p_ - 1), sketches);
    add_sketch_halos(layout, sketches);
    for (Pattern pattern : {Pattern::Sparse, Pattern::Window, Pattern::Dense})
      if (s.attention.exchange == ExchangePlan::Heads && pattern != Pattern::Window)
        add_heads(layout, pattern);
      else
        add_rows(layout, pattern);
    if (s.attention.exchange == ExchangePlan::Heads) return add_lists(stream);
    if (s.attention.exchange != ExchangePlan::Rows) return;
    const double draws = static_cast<double>(s.draws().size());
    add("row_counts", draws * 8 * p_ * (p_ - 1), draws);
    add("row_ids", draws * 4 * static_cast<double>(s.kv_heads) * plan_.phi * n * (p_ - 1), draws);
  }

  void add_step() {
    const ModelShape& s = plan_.shape;
    const double n = static_cast<double>(count_parameters(s).all()), all = static_cast<double>(plan_.ranks - 1);
    for (const char* what : {"gradients", "parameters"})
      if (all > 0) sent_[what] = {e_ * n * all, 1, true};
    if (all > 0) sent_["gradient_norm"] = {16 * all * (all + 1), 1, true};
    const double sparse = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), Pattern::Sparse)),
                 sketches = static_cast<double>(s.num_sketches()), draws = static_cast<double>(s.draws().size()),
                 streams = static_cast<double>(plan_.streams.size()), rows = plan_.probes * plan_.query_block,
                 heads = static_cast<double>(s.heads);
    if (plan_.probes == 0 || sketches == 0 || streams == 0) return;
    const PairCounts pairs = count_pairs(plan_);
    const double list = pairs.blocks > 0 ? pairs.listed / static_cast<double>(pairs.blocks) : 0;
    add("probe_queries", sparse * e_ * rows * heads * static_cast<double>(s.head_width) * (p_ - 1), streams * sparse);
    add("probe_sums", (sparse * 2 * rows * heads + sketches * 3 * plan_.probes) * e_ * p_ * (p_ - 1),
        streams * 2 * (sparse + sketches));
    const double queries = sketches * e_ * plan_.probes * static_cast<double>(s.sketch_width) * (p_ - 1);
    add("probe_sketch_queries", queries, streams * sketches);
    add("probe_sketch_queries_backward", queries, streams * sketches);
    add("probe_picks", draws * 8 * plan_.probes * static_cast<double>(s.attention.pick_heads) * (list + 1) * (p_ - 1),
        streams * 2 * draws);
  }

  [[nodiscard]] std::map<std::string, Operation> take() { return std::move(sent_); }

 private:
  // Of all streams of a step a replica has its share.
  void add(const std::string& name, double bytes, double exchanges) {
    if (bytes <= 0) return;
    sent_[name].bytes += bytes, sent_[name].exchanges += exchanges / replicas_;
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
    add("convolution_halo", near, sketches), add("query_halo", query_bytes, sketches);
    if (learns) add("convolution_halo_backward", near, sketches), add("query_halo_backward", query_bytes, sketches);
  }

  // Queries, keys and values, outputs of one kind of layer change hands: every rank keeps a P-th of what it has.
  void add_heads(const Layout& layout, Pattern pattern) {
    const ModelShape& s = plan_.shape;
    const double layers = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), pattern));
    if (layers == 0 || layout.num_ranks() == 1) return;
    const double moved = layers * attended_ * static_cast<double>(layout.num_tokens() * s.head_width) * (p_ - 1) / p_,
                 queries = moved * static_cast<double>(s.heads), rows = moved * 2 * static_cast<double>(s.kv_heads),
                 there = s.bfloat16_kv ? 2 / attended_ : 1, runs = s.recompute_layers ? 2 : 1;
    add("head_queries", runs * queries, runs * layers), add("head_queries_backward", queries, layers);
    add("head_outputs", runs * queries, runs * layers), add("head_outputs_backward", queries, layers);
    add("head_rows", runs * there * rows, runs * layers), add("head_rows_backward", rows, layers);
    if (s.fetch_again) add("head_rows_again", there * rows, layers);
  }

  // Picks of other ranks' heads: a size a list, a key and its log π a pick; at most, for certain picks use up a budget.
  void add_lists(const std::vector<int64_t>& stream) {
    PlanCase one = plan_;
    one.streams = {stream};
    const PairCounts pairs = count_pairs(one);
    const double draws = static_cast<double>(plan_.shape.draws().size());
    add("pick_lists",
        draws * static_cast<double>(plan_.shape.attention.pick_heads) * (p_ - 1) / p_ *
            (4 * static_cast<double>(pairs.blocks) + (4 + e_) * pairs.listed),
        3 * draws);
  }

  // Keys and values of one kind of layer.
  void add_rows(const Layout& layout, Pattern pattern) {
    const ModelShape& s = plan_.shape;
    const double layers = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), pattern));
    if (layers == 0 || layout.num_ranks() == 1) return;
    AttentionSettings settings = s.attention;
    settings.pattern = pattern;
    const bool all = settings.exchange == ExchangePlan::All && pattern != Pattern::Window;
    double halo = 0, globals = 0;
    for (int rank = 0; rank < layout.num_ranks(); ++rank) {
      halo += static_cast<double>((all ? foreign_tokens(layout, rank) : band_halo(layout, settings, rank)).size());
      if (!all) globals += static_cast<double>(global_halo(layout, settings, rank).size());
    }
    const double row = attended_ * 2 * static_cast<double>(s.head_width * s.kv_heads),
                 there = s.bfloat16_kv ? 2 / attended_ : 1;
    const double fetches = s.recompute_layers ? 2 : 1;
    const auto fetch = [&](const std::string& name, double bytes) {
      add(name, layers * fetches * there * bytes, layers * fetches), add(name + "_backward", layers * bytes, layers);
      if (s.fetch_again) add(name + "_again", layers * there * bytes, layers);
    };
    fetch(all ? "rows" : "band_halo", row * halo);
    fetch("global_keys", row * globals);
    if (pattern == Pattern::Sparse && !all)
      fetch("rows", row * plan_.phi * static_cast<double>(layout.num_tokens()) * (p_ - 1));
  }

  const PlanCase& plan_;
  double e_, attended_, p_, replicas_;
  std::map<std::string, Operation> sent_;
};

}  // namespace

std::map<std::string, Operation> predict_traffic(const PlanCase& plan) {
  Traffic traffic(plan);
  for (const auto& stream : plan.streams) traffic.add_stream(stream);
  traffic.add_step();
  return traffic.take();
}

}  // namespace smartbird
