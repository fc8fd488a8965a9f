// Sections model, sketch and attention: what is computed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/declare.h"

namespace smartbird {

struct ModelOptions {
  int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_width = 0, mlp_width = 0;
  std::string norm, activation, pooling, causal;
  bool tie_embeddings = false;
  std::vector<double> rotary_base;
  double dropout = 0, norm_epsilon = 0;
  template <class V>
  void visit(V& v) {
    v("model.layers", layers, 4, between(1, 10000), "Transformer blocks");
    v("model.width", width, 128, between(1, 1 << 20), "width of the residual stream");
    v("model.heads", heads, 4, between(1, 1 << 16), "query heads");
    v("model.kv_heads", kv_heads, 0, between(0, 1 << 16), "key/value heads; must divide model.heads; 0 = model.heads");
    v("model.head_width", head_width, 0, between(0, 1 << 16), "width of a head, even; 0 = model.width / model.heads");
    v("model.mlp_width", mlp_width, 0, between(0, 1 << 22),
      "inner width of the gated MLP; 0 = 8/3 of model.width, rounded up to 16");
    v("model.norm", norm, "rms", one_of({"rms", "layer"}), "RMSNorm or LayerNorm, before each sub-block");
    v("model.activation", activation, "swiglu", one_of({"swiglu", "geglu"}), "gated MLP: SwiGLU or GeGLU");
    v("model.pooling", pooling, "mean", one_of({"mean", "first", "attention", "statistics"}),
      "classify: how a document's rows become one; statistics = mean and mean square of each channel");
    v("model.causal", causal, "auto", one_of({"auto", "on", "off"}),
      "on: a row sees no later row; auto = on for clm, off for mlm and classify");
    v("model.tie_embeddings", tie_embeddings, true, any(), "output weights are the input embeddings");
    v("model.rotary_base", rotary_base, "10000", positive(),
      "base of the rotary positions, one value or a pattern repeated over layers");
    v("model.dropout", dropout, 0.0, between(0.0, 0.99), "dropout of each sub-block's output");
    v("model.norm_epsilon", norm_epsilon, 1e-5, positive(), "added under the root of every norm");
  }
};

struct SketchOptions {
  std::string location, target;
  int64_t width = 0, inner_width = 0, convolution = 0, probes = 0, every = 0;
  double floor = 0, temperature = 0, rotary_base = 0;
  template <class V>
  void visit(V& v) {
    v("sketch.location", location, "model", one_of({"model", "layer"}),
      "one sketch on the embeddings for all layers, or sketches on layers' inputs");
    v("sketch.every", every, 1, at_least(1), "with location = layer: layers served by one sketch");
    v("sketch.width", width, 16, between(1, 256), "width of sketch queries and keys");
    v("sketch.inner_width", inner_width, 0, between(0, 1 << 16),
      "width before the query and key projections, even; 0 = twice sketch.width");
    v("sketch.convolution", convolution, 4, between(0, 16),
      "taps of the depth-wise convolution along the sequence; 0 = none");
    v("sketch.rotary_base", rotary_base, 10000.0, positive(), "base of the sketch's rotary positions");
    v("sketch.probes", probes, 16, at_least(0),
      "expected probe blocks per optimizer step, from which the sketch learns; 0 = it does not learn");
    v("sketch.target", target, "sampled", one_of({"sampled", "visible"}),
      "keys of a probe whose exact attention the sketch learns: those it draws from, or all that are visible");
    v("sketch.temperature", temperature, 1.0, positive(), "factor of the sketch's scores to start with; it learns");
    v("sketch.floor", floor, 0.1, between(0.0, 1.0), "share of the inclusion probability that is uniform");
  }
};

struct AttentionOptions {
  std::string draw, fill, share, redraw, pick_heads;
  std::vector<std::string> pattern;
  std::vector<int64_t> global_positions;
  int64_t picks = 0, window = 0, query_block = 0, share_warmup_steps = 0, warmup_steps = 0, warmup_picks = 0,
          scan_budget_bytes = 0, draw_seed = 0;
  bool correction = false;
  double min_inclusion = 0, draw_temperature = 0;
  template <class V>
  void visit(V& v) {
    v("attention.draw", draw, "poisson",
      one_of({"poisson", "systematic", "gumbel", "iid", "topk", "oracle", "bigbird", "uniform", "none"}),
      "how keys are chosen from the sketch's probabilities; oracle = the keys that exact attention weighs most, "
      "bigbird = half "
      "the first ones, half a fixed random pattern");
    v("attention.fill", fill, "auto", one_of({"auto", "on", "off"}),
      "keys that are certain to be drawn leave their surplus to the others, so that about attention.picks are drawn "
      "however peaked the sketch (fewer by what sketch.floor takes); auto: where draws can, poisson and systematic");
    v("attention.draw_temperature", draw_temperature, 0.0, between(0.0, 100.0),
      "divides the sketch's scores where keys are drawn, not where it learns; below 1 likely keys become likelier; "
      "0.01 and more, or 0 = 0.5 for a draw that fills its budget, else 1");
    v("attention.picks", picks, 32, between(0, int64_t{1} << 31), "expected picks of a query block and head");
    v("attention.window", window, 64, between(0, int64_t{1} << 40),
      "rows on each allowed side of a query block that are always attended");
    v("attention.query_block", query_block, 1, between(1, 4096), "rows that share their picks");
    v("attention.share", share, "64", any(),
      "rows that share random numbers: a multiple of attention.query_block, or all");
    v("attention.redraw", redraw, "sketch", one_of({"sketch", "layer"}),
      "sketch: the layers that a sketch serves share one draw; layer: each draws its own picks from it");
    v("attention.share_warmup_steps", share_warmup_steps, 0, at_least(0),
      "first steps with independent numbers for each query block");
    v("attention.warmup_steps", warmup_steps, 0, at_least(0),
      "first steps with attention.warmup_picks in place of attention.picks");
    v("attention.warmup_picks", warmup_picks, 0, between(0, int64_t{1} << 31),
      "expected picks in the warm-up steps; 0 = all keys: dense attention, from which the sketch learns too");
    v("attention.draw_seed", draw_seed, 0, at_least(0),
      "seed of the draws in training, to tell their noise from that of weights and order; 0 = run.seed");
    v("attention.pick_heads", pick_heads, "kv", one_of({"kv", "query"}),
      "query heads of one key/value head share picks, or each has its own");
    v("attention.correction", correction, true, any(),
      "subtract log inclusion probability from picked scores (estimates dense attention without bias)");
    v("attention.min_inclusion", min_inclusion, 0.0, between(0.0, 1.0),
      "smallest inclusion probability used in the correction; 0 = no cap");
    v("attention.pattern", pattern, "sparse", each_of({"sparse", "dense", "window", "auto"}),
      "kind of each layer's attention, a pattern repeated over layers; auto: sparse or dense, whichever trains faster, "
      "measured when the run begins");
    v("attention.global_positions", global_positions, "", at_least(0),
      "positions of each sequence that every row that may see them attends");
    v("attention.scan_budget_bytes", scan_budget_bytes, 0, at_least(0),
      "working memory of the scan and the draw; a smaller budget means smaller row chunks, never other picks; 0 = 64 "
      "MiB, "
      "on a GPU 1 GiB");
  }
};

}  // namespace smartbird
