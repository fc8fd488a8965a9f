// Cross-field rules.
#include "config/rules.h"

#include <algorithm>

#include "config/auto_pattern.h"
#include "config/device_rules.h"
#include "config/values.h"
#include "core/error.h"
#include "core/link.h"

namespace smartbird {

int64_t kv_heads(const ModelOptions& m) { return m.kv_heads > 0 ? m.kv_heads : m.heads; }
int64_t head_width(const ModelOptions& m) { return m.head_width > 0 ? m.head_width : m.width / m.heads; }
int64_t mlp_width(const ModelOptions& m) { return m.mlp_width > 0 ? m.mlp_width : (m.width * 8 / 3 + 15) / 16 * 16; }
int64_t sketch_inner_width(const SketchOptions& s) { return s.inner_width > 0 ? s.inner_width : 2 * s.width; }

int64_t share_rows(const Options& o) { return o.attention.share == "all" ? 0 : std::stoll(o.attention.share); }

bool draws_from_sketch(const Options& o) {
  const std::string& draw = o.attention.draw;
  return draw != "uniform" && draw != "none" && draw != "bigbird" && draw != "oracle";
}

bool has_pattern(const Options& o, const std::string& name) {
  const auto& patterns = o.attention.pattern;
  const auto used = static_cast<int64_t>(std::min(patterns.size(), static_cast<size_t>(o.model.layers)));
  return std::find(patterns.begin(), patterns.begin() + used, name) != patterns.begin() + used;
}

bool has_sparse_layer(const Options& o) { return has_pattern(o, "sparse") || has_auto_pattern(o); }
bool samples_from_sketch(const Options& o) { return draws_from_sketch(o) && o.attention.draw != "topk"; }
bool may_fill(const Options& o) { return o.attention.draw == "poisson" || o.attention.draw == "systematic"; }
bool fills_budget(const Options& o) { return o.attention.fill != "off" && may_fill(o); }
double draw_temperature(const Options& o) {
  if (o.attention.draw_temperature > 0) return o.attention.draw_temperature;
  return fills_budget(o) ? 0.5 : 1;
}

std::string transport_of(const Options& o) {
  if (o.parallel.transport != "auto") return o.parallel.transport;
  return o.run.device == "cuda" ? "nccl" : "mpi";
}

bool is_causal(const Options& o) { return o.model.causal == "auto" ? o.data.task == "clm" : o.model.causal == "on"; }

void check_rules(const Options& o, int num_ranks) {
  std::string errors;
  const auto rule = [&](bool holds, const auto&... parts) {
    if (holds) return;
    if (!errors.empty()) errors += '\n';
    errors += join(parts...);
  };
  rule(o.model.heads % kv_heads(o.model) == 0, "model.kv_heads = ", kv_heads(o.model),
       " does not divide model.heads = ", o.model.heads);
  rule(o.model.head_width > 0 || o.model.width % o.model.heads == 0, "model.width = ", o.model.width,
       " is not a multiple of model.heads = ", o.model.heads, "; set model.head_width or change one of them");
  rule(head_width(o.model) % 2 == 0 && head_width(o.model) > 0, "model.head_width = ", head_width(o.model),
       " (0 = width / heads) must be even and positive");
  rule(sketch_inner_width(o.sketch) % 2 == 0, "sketch.inner_width = ", sketch_inner_width(o.sketch), " must be even");
  const bool number = !o.attention.share.empty() && o.attention.share.size() < 10 &&
                      o.attention.share.find_first_not_of("0123456789") == std::string::npos;
  const int64_t share = number ? std::stoll(o.attention.share) : 0;
  rule(o.attention.share == "all" || (share > 0 && share % o.attention.query_block == 0),
       "attention.share = ", o.attention.share,
       " must be 'all' or a positive multiple of attention.query_block = ", o.attention.query_block);
  rule(o.parallel.sequence_ranks == 0 || num_ranks % o.parallel.sequence_ranks == 0,
       "parallel.sequence_ranks = ", o.parallel.sequence_ranks, " does not divide the ", num_ranks,
       " ranks of this run");
  const int64_t sharing = o.parallel.sequence_ranks > 0 ? o.parallel.sequence_ranks : num_ranks;
  rule(o.exchange.plan != "heads" || kv_heads(o.model) % sharing == 0,
       "exchange.plan = heads deals whole kv heads, but ", kv_heads(o.model),
       " (model.kv_heads) are not a multiple of ", sharing,
       " ranks that share a stream (parallel.sequence_ranks); choose rows or all");
  rule(o.exchange.link == "measure" || parse_link(o.exchange.link), "exchange.link = ", o.exchange.link,
       " must be 'measure' or a latency and a rate as in 50us,10Gbit/s (us, ms, s; kbit/s, Mbit/s, Gbit/s, kB/s, MB/s, "
       "GB/s)");
  rule(o.run.record_picks == 0 || has_sparse_layer(o), "run.record_picks = ", o.run.record_picks,
       " has nothing to record: no layer of attention.pattern is sparse");
  const int64_t last_step = o.train.stop_after > 0 ? o.train.stop_after : o.train.steps;
  rule(o.run.record_picks == 0 || o.run.record_picks <= last_step, "run.record_picks = ", o.run.record_picks,
       " records nothing before the last step, ", last_step, "; lower it");
  rule(o.run.record_picks == 0 || o.run.record_picks > last_step || o.attention.warmup_picks > 0 ||
           last_step / o.run.record_picks * o.run.record_picks > o.attention.warmup_steps,
       "run.record_picks = ", o.run.record_picks,
       " records no step between the dense ones, attention.warmup_steps = ", o.attention.warmup_steps,
       ", and the last, ", last_step, "; lower it, or train longer");
  rule(o.data.prefix_tokens == 0 || (o.data.task == "clm" && is_causal(o)),
       "data.prefix_tokens = ", o.data.prefix_tokens, " needs data.task = clm and a causal model");
  rule(o.data.prefix_tokens == 0 || o.data.prefix_tokens < o.data.sequence_tokens,
       "data.prefix_tokens = ", o.data.prefix_tokens,
       " leaves nothing to predict of data.sequence_tokens = ", o.data.sequence_tokens);
  rule(o.data.vocabulary.empty() || o.data.tokenizer == "words", "data.vocabulary = ", o.data.vocabulary,
       " is for data.tokenizer = words; set that, or leave it out");
  rule(o.data.limit_tokens == 0 || o.data.task != "classify", "data.limit_tokens = ", o.data.limit_tokens,
       " would cut a labelled document; it needs data.task = clm or mlm");
  rule(o.data.limit_tokens != 1 || o.data.task != "clm",
       "data.limit_tokens = 1 leaves data.task = clm nothing to predict; set it to 2 or more, or to 0 for all");
  rule(o.data.task != "clm" || is_causal(o), "data.task = clm needs a causal model; model.causal = ", o.model.causal);
  rule(o.train.stop_after <= o.train.steps, "train.stop_after = ", o.train.stop_after,
       " is beyond train.steps = ", o.train.steps);
  rule(o.train.steps == 0 || o.train.warmup_steps <= o.train.steps, "train.warmup_steps = ", o.train.warmup_steps,
       " exceeds train.steps = ", o.train.steps, "; lower train.warmup_steps");
  rule(o.train.learning_rate > 0 || o.train.freeze == "model" ||
           (o.data.task == "classify" && o.train.head_learning_rate > 0),
       "train.learning_rate = 0 trains nothing; it needs data.task = classify and train.head_learning_rate above 0");
  const bool sparse = has_sparse_layer(o);
  rule(o.run.record_picks == 0 || o.attention.draw != "oracle", "run.record_picks = ", o.run.record_picks,
       " records the picks of sketches; attention.draw = oracle has none");
  rule(o.attention.draw_temperature == 0 || o.attention.draw_temperature >= 0.01,
       "attention.draw_temperature = ", o.attention.draw_temperature,
       " must be 0, for the default, or from 0.01 to 100");
  rule(draw_temperature(o) == 1 || samples_from_sketch(o),
       "attention.draw_temperature = ", o.attention.draw_temperature,
       " changes nothing with attention.draw = ", o.attention.draw,
       ", which does not draw by the sketch's probabilities; leave it out");
  rule(o.attention.fill != "on" || may_fill(o),
       "attention.fill = on is for attention.draw = poisson and systematic, given ", o.attention.draw,
       "; leave it out");
  rule(o.run.matmul == "float32" || o.run.dtype == "float32", "run.matmul = ", o.run.matmul,
       " rounds the factors of float32, not of run.dtype = ", o.run.dtype, "; leave it out");
  rule(o.eval.seen_before == "off" || o.data.task == "clm", "eval.seen_before = ", o.eval.seen_before,
       " sorts the targets of data.task = clm; data.task is ", o.data.task);
  rule(o.eval.draw == "same" || sparse,
       "eval.draw = dense makes sparse layers dense, and attention.pattern has none; set eval.draw = same, or "
       "attention.pattern = dense to make all layers dense");
  rule(o.attention.warmup_steps == 0 || (sparse && o.attention.draw != "none"),
       "attention.warmup_steps = ", o.attention.warmup_steps,
       " changes the picks of no layer: it needs a sparse one in attention.pattern, and draws");
  rule(o.attention.warmup_picks == 0 || o.attention.warmup_steps > 0,
       "attention.warmup_picks = ", o.attention.warmup_picks, " needs attention.warmup_steps above 0");
  rule(o.train.steps == 0 || o.attention.warmup_steps <= o.train.steps,
       "attention.warmup_steps = ", o.attention.warmup_steps, " exceeds train.steps = ", o.train.steps,
       "; lower attention.warmup_steps");
  const bool frozen = o.train.freeze == "model";
  rule(!frozen || (!o.init.checkpoint.empty() && o.data.task != "classify"),
       "train.freeze = model keeps the weights as they are: it needs finetune with init.checkpoint, and data.task = "
       "clm or "
       "mlm");
  rule(!frozen || (o.sketch.probes > 0 && sparse && o.attention.draw != "oracle"),
       "train.freeze = model leaves nothing to learn: it needs a sparse layer in attention.pattern, sketch.probes "
       "above 0 "
       "and a draw from the sketch, not attention.draw = oracle");
  rule(o.train.patience == 0 || (o.eval.every > 0 && !o.data.valid.empty()), "train.patience = ", o.train.patience,
       " needs data.valid and eval.every > 0");
  rule(o.data.task != "mlm" || o.data.mask_share > 0,
       "data.mask_share = 0 leaves data.task = mlm nothing to predict; raise it");
  rule(o.data.task != "clm" || o.data.sequence_tokens > 1,
       "data.sequence_tokens = 1 leaves data.task = clm nothing to predict; set it to 2 or more");
  rule(o.data.generate.empty() || o.data.generate == "listops" || o.data.generate == "recall",
       "data.generate = ", o.data.generate, ": expected listops or recall");
  Options any = o;
  const std::vector<OptionEntry> entries = entries_of(any);
  for (const std::string& name : o.run.allow_change)
    rule(std::any_of(entries.begin(), entries.end(), [&](const OptionEntry& e) { return e.name == name; }),
         "run.allow_change: unknown option '", name, "'", advice(name, entries));
  for (const std::string& more : {auto_pattern_errors(o), device_errors(o)})
    if (!more.empty()) errors += join(errors.empty() ? "" : "\n", more);
  SB_CHECK(errors.empty(), Config, errors);
}

}  // namespace smartbird
