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
    for (Pattern pattern : {Pattern::Sparse, Pattern::Window, Pattern::Dense}) add_rows(layout, pattern);
    if (!s.attention.fetch_all) add("row_ids", sketches * 4 * static_cast<double>(s.kv_heads) * plan_.phi * n * others);
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

  // Keys and values of one kind of layer.
  void add_rows(const Layout& layout, Pattern pattern) {
    const ModelShape& s = plan_.shape;
    const double layers = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), pattern));
    if (layers == 0 || layout.num_ranks() == 1) return;
    AttentionSettings settings = s.attention;
    settings.pattern = pattern;
    double halo = 0, globals = 0;
    for (int rank = 0; rank < layout.num_ranks(); ++rank) {
      halo += static_cast<double>(
          (settings.fetch_all ? foreign_tokens(layout, rank) : band_halo(layout, settings, rank)).size());
      if (!settings.fetch_all) globals += static_cast<double>(global_halo(layout, settings, rank).size());
    }
    const double row = e_ * 2 * static_cast<double>(s.head_width * s.kv_heads), there = s.bfloat16_kv ? 2 / e_ : 1;
    const double fetches = s.recompute_layers ? 2 : 1;
    const auto fetch = [&](const std::string& name, double bytes) {
      add(name, layers * fetches * there * bytes), add(name + "_backward", layers * bytes);
      if (s.fetch_again) add(name + "_again", layers * there * bytes);
    };
    fetch(settings.fetch_all ? "rows" : "band_halo", row * halo);
    fetch("global_keys", row * globals);
    if (pattern == Pattern::Sparse && !settings.fetch_all)
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
