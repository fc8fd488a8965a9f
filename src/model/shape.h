// The numbers of a model, resolved from the options once: what parameters exist and what attention does in each layer.
#pragma once

#include <string>
#include <vector>

#include "config/options.h"
#include "ops/plan.h"
#include "ops/products.h"

namespace smartbird {

enum class Pooling { Mean, First, Attention, Statistics };

struct ModelShape {
  int64_t layers = 0, width = 0, heads = 0, kv_heads = 0, head_width = 0, mlp_width = 0;  // L, C, H, G, D
  int64_t vocabulary = 0, classes = 0;  // V; classes = 0: no classification head
  bool layer_norm = false, geglu = false, tie_embeddings = true;
  double norm_epsilon = 1e-5, dropout = 0, init_scale = 0.02;
  Pooling pooling = Pooling::Mean;
  std::vector<double> rotary_base;  // [L]
  std::vector<Pattern> pattern;     // [L]
  // sketch
  bool sketch_per_layer = false;
  int64_t sketch_every = 1, sketch_width = 0, sketch_inner = 0, sketch_taps = 0;  // M, M'
  double sketch_temperature = 1, sketch_rotary_base = 10000;                      // temperature: to start with
  bool sketch_of_visible = false;                                                 // learns from all visible keys, not E
  double draw_temperature = 1;                                                    // of the picks alone
  bool redraw_layers = false;   // each layer has picks of its own from its sketch
  AttentionSettings attention;  // of sparse layers; pattern is set per layer
  // running
  bool recompute_layers = false;
  bool keep_mlp = true;                // the MLP's inner products, for the backward pass
  bool fetch_again = false;            // rows of other ranks are fetched a second time instead of kept
  bool bfloat16_kv = false;            // keys and values are kept and fetched in bfloat16
  Factors factors = Factors::AsGiven;  // of the model's products on a GPU; Bfloat16: queries, keys and values too
  int64_t loss_rows = 1024, probe_budget_bytes = 64 << 20;

  [[nodiscard]] int64_t num_sketches() const;            // 0 when no layer is sparse
  [[nodiscard]] int64_t sketch_of(int64_t layer) const;  // which sketch serves a layer
  // Whose picks a layer attends: the sketch's, or its own (oracle, redraw_layers).
  [[nodiscard]] int64_t draw_of(int64_t layer) const;
  [[nodiscard]] std::vector<int64_t> draws() const;  // of the sparse layers, ascending, each once
  // Of an element of queries and outputs, and of gradients of what is attended, where an element of weights has that many.
  [[nodiscard]] int64_t attended_bytes(int64_t element_bytes) const {
    return factors == Factors::Bfloat16 ? 2 : element_bytes;
  }
};

// What a plan of `pattern` carries in a step with weights of that size (bytes an element): of draw number `draw` where it is sparse,
// of all layers of the pattern otherwise; without the way back of gradients.
[[nodiscard]] ExchangeUse exchange_use(const ModelShape& shape, Pattern pattern, int64_t draw, int64_t element_bytes);

[[nodiscard]] ModelShape make_shape(const Options& options, int64_t vocabulary, int64_t classes);

}  // namespace smartbird
