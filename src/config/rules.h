// Rules between options, and the numbers that an option's 0 or auto stands for.
#pragma once

#include <cstdint>

#include "config/options.h"

namespace smartbird {

// Throws one Error(Config) that lists every violated rule, one a line, with the numbers and the cure.
void check_rules(const Options& options, int num_ranks);

// Valid on options that satisfy the rules.
[[nodiscard]] int64_t kv_heads(const ModelOptions& model);
[[nodiscard]] int64_t head_width(const ModelOptions& model);
[[nodiscard]] int64_t mlp_width(const ModelOptions& model);  // 8/3 of the width, rounded up to 16
[[nodiscard]] int64_t sketch_inner_width(const SketchOptions& sketch);
// Whether attention.draw asks a sketch; the other draws need none.
[[nodiscard]] bool draws_from_sketch(const Options& options);
// Whether chance has a part in that: all of those but topk.
[[nodiscard]] bool samples_from_sketch(const Options& options);
// Whether attention.fill is for that draw, and whether the draw fills its budget.
[[nodiscard]] bool may_fill(const Options& options);
[[nodiscard]] bool fills_budget(const Options& options);
[[nodiscard]] double draw_temperature(const Options& options);  // 0 resolved
// Whether a layer of the model is of that pattern; entries of attention.pattern beyond the layers count for nothing.
[[nodiscard]] bool has_pattern(const Options& options, const std::string& name);
// Whether a layer of the model is of pattern "sparse", or "auto" and so may be.
[[nodiscard]] bool has_sparse_layer(const Options& options);
// parallel.transport with auto resolved.
[[nodiscard]] std::string transport_of(const Options& options);
[[nodiscard]] bool is_causal(const Options& options);
[[nodiscard]] int64_t share_rows(const Options& options);  // 0 = all rows of a sequence

}  // namespace smartbird
