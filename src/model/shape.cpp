// Options -> shape.
#include "model/shape.h"

#include <algorithm>

#include "config/rules.h"
#include "core/error.h"
#include "model/draw_mode.h"

namespace smartbird {
namespace {

Pattern pattern_from(const std::string& name) {
  if (name == "dense") return Pattern::Dense;
  return name == "window" ? Pattern::Window : Pattern::Sparse;
}

ExchangePlan exchange_from(const std::string& name) {
  if (name == "all") return ExchangePlan::All;
  if (name == "heads") return ExchangePlan::Heads;
  return name == "auto" ? ExchangePlan::Auto : ExchangePlan::Rows;
}

AttentionSettings attention_from(const Options& o, const ModelShape& shape) {
  AttentionSettings s;
  s.visibility = {.causal = is_causal(o), .prefix = o.data.prefix_tokens};
  s.window = o.attention.window;
  s.picks = o.attention.picks;
  s.share_rows = share_rows(o);
  s.draw = draw_mode(o.attention.draw);
  const bool fixed = s.draw == kernels::DrawMode::BigBird && o.attention.draw_seed == 0;  // a pattern of the run's own
  s.draw_seed = static_cast<uint64_t>(fixed ? o.run.seed : o.attention.draw_seed);
  s.floor = o.sketch.floor;
  s.fill = fills_budget(o);
  s.heads = static_cast<int>(shape.heads), s.kv_heads = static_cast<int>(shape.kv_heads);
  s.pick_heads = o.attention.pick_heads == "query" ? s.heads : s.kv_heads;
  s.correction = o.attention.correction;
  s.min_inclusion = o.attention.min_inclusion;
  s.global_positions = o.attention.global_positions;
  std::sort(s.global_positions.begin(), s.global_positions.end());
  s.global_positions.erase(std::unique(s.global_positions.begin(), s.global_positions.end()), s.global_positions.end());
  s.scan_budget_bytes = o.attention.scan_budget_bytes > 0 ? o.attention.scan_budget_bytes
                        : o.run.device == "cuda"          ? int64_t{1} << 30
                                                          : int64_t{64} << 20;
  s.exchange = exchange_from(o.exchange.plan), s.overlap = o.exchange.overlap;
  return s;
}

Pooling pooling_from_name(const std::string& name) {
  if (name == "first") return Pooling::First;
  if (name == "attention") return Pooling::Attention;
  return name == "statistics" ? Pooling::Statistics : Pooling::Mean;
}

}  // namespace

int64_t ModelShape::draw_of(int64_t layer) const {
  return redraw_layers || attention.draw == kernels::DrawMode::Oracle ? layer : sketch_of(layer);
}

std::vector<int64_t> ModelShape::draws() const {
  std::vector<int64_t> out;
  for (int64_t layer = 0; layer < layers; ++layer)
    if (pattern[static_cast<size_t>(layer)] == Pattern::Sparse && (out.empty() || out.back() != draw_of(layer)))
      out.push_back(draw_of(layer));
  return out;
}

int64_t ModelShape::num_sketches() const {
  if (std::none_of(pattern.begin(), pattern.end(), [](Pattern p) { return p == Pattern::Sparse; })) return 0;
  return sketch_per_layer ? (layers + sketch_every - 1) / sketch_every : 1;
}

int64_t ModelShape::sketch_of(int64_t layer) const { return sketch_per_layer ? layer / sketch_every : 0; }

ExchangeUse exchange_use(const ModelShape& s, Pattern pattern, int64_t draw, int64_t element_bytes) {
  ExchangeUse use{.layers = 0, .head_width = s.head_width};
  for (int64_t layer = 0; layer < s.layers; ++layer)
    use.layers +=
        s.pattern[static_cast<size_t>(layer)] == pattern && (pattern != Pattern::Sparse || s.draw_of(layer) == draw);
  use.other_fetches = s.recompute_layers ? 2 : 1;
  use.row_fetches = use.other_fetches + (s.fetch_again ? 1 : 0);
  use.element_bytes = static_cast<double>(s.attended_bytes(element_bytes));
  use.log_pi_bytes = static_cast<double>(element_bytes);
  use.kv_element_bytes = s.bfloat16_kv ? 2 : use.element_bytes;
  return use;
}

ModelShape make_shape(const Options& o, int64_t vocabulary, int64_t classes) {
  ModelShape s;
  s.layers = o.model.layers, s.width = o.model.width, s.heads = o.model.heads, s.kv_heads = kv_heads(o.model);
  s.head_width = head_width(o.model), s.mlp_width = mlp_width(o.model);
  s.vocabulary = vocabulary, s.classes = classes;
  s.layer_norm = o.model.norm == "layer", s.geglu = o.model.activation == "geglu",
  s.tie_embeddings = o.model.tie_embeddings;
  s.norm_epsilon = o.model.norm_epsilon, s.dropout = o.model.dropout, s.init_scale = o.init.scale;
  s.pooling = pooling_from_name(o.model.pooling);
  for (int64_t layer = 0; layer < s.layers; ++layer) {
    s.rotary_base.push_back(o.model.rotary_base[static_cast<size_t>(layer) % o.model.rotary_base.size()]);
    s.pattern.push_back(pattern_from(o.attention.pattern[static_cast<size_t>(layer) % o.attention.pattern.size()]));
  }
  s.sketch_per_layer = o.sketch.location == "layer", s.sketch_every = o.sketch.every;
  s.sketch_width = o.sketch.width, s.sketch_inner = sketch_inner_width(o.sketch), s.sketch_taps = o.sketch.convolution;
  s.sketch_temperature = o.sketch.temperature, s.sketch_rotary_base = o.sketch.rotary_base;
  s.sketch_of_visible = o.sketch.target == "visible";
  s.draw_temperature = draw_temperature(o), s.redraw_layers = o.attention.redraw == "layer";
  s.attention = attention_from(o, s);
  s.recompute_layers = o.memory.recompute == "layer", s.keep_mlp = o.memory.recompute == "none";
  s.fetch_again = o.memory.rows == "fetch_again", s.bfloat16_kv = o.memory.kv_dtype == "bfloat16";
  if (o.run.device == "cuda" && o.run.matmul == "bfloat16") s.factors = Factors::Bfloat16;
  s.loss_rows = o.memory.loss_rows, s.probe_budget_bytes = o.memory.probe_budget_bytes;
  return s;
}

}  // namespace smartbird
