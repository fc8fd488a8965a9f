// Parameters and forward pass of the model.
#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "model/block.h"
#include "model/heads.h"
#include "ops/look_up.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

struct Sketching {
  SketchOutput output;
  SketchScores scores;
  std::unique_ptr<Probes> probes;
};

// Builds each plan when the first layer that needs it comes.
class Planner {
 public:
  Planner(const StepContext& context, const Parameters& parameters, const ModelShape& shape,
          const ForwardOptions& options, Forward& out)
      : context_(context),
        parameters_(parameters),
        shape_(shape),
        options_(options),
        out_(out),
        learns_(at::GradMode::is_enabled()) {}

  struct Served {
    const Plan* plan = nullptr;
    Probes* probes = nullptr;
  };

  // h: input of the layer, embeddings: input of the first.
  Served serve(int64_t layer, const at::Tensor& h, const at::Tensor& embeddings, const RowInfo& rows) {
    Pattern pattern = shape_.pattern[static_cast<size_t>(layer)];
    if (options_.dense && pattern == Pattern::Sparse) pattern = Pattern::Dense;
    if (pattern != Pattern::Sparse) return {fixed_plan(pattern, h.options()), nullptr};
    const bool oracle = shape_.attention.draw == kernels::DrawMode::Oracle;
    if (oracle && options_.all_keys) return {fixed_plan(Pattern::Dense, h.options()), nullptr};
    if (oracle) return {exact_plan(layer, h, rows), nullptr};
    const int64_t sketch = shape_.sketch_of(layer), draw = shape_.draw_of(layer);
    if (!sparse_.contains(sketch))
      sparse_[sketch] = make_sketching(sketch, shape_.sketch_per_layer ? h : embeddings, rows);
    if (!sparse_plan_.contains(draw)) sparse_plan_[draw] = drawn_plan(draw, sparse_[sketch], h.options());
    return {sparse_plan_[draw], sparse_[sketch].probes.get()};
  }

  // Sum over sketches of the probes' loss.
  void finish() {
    for (auto& [number, sketching] : sparse_) {
      if (!sketching.probes) continue;
      const at::Tensor loss = sketching.probes->loss(context_, sketching.output);
      out_.sketch_loss = out_.sketch_loss.defined() ? out_.sketch_loss + loss : loss;
      out_.probe_mass.add(sketching.probes->mass());
    }
  }

 private:
  const Plan* fixed_plan(Pattern pattern, const at::TensorOptions& options) {
    if (!fixed_.contains(pattern)) {
      AttentionSettings settings = shape_.attention;
      settings.pattern = pattern;
      settings.use = use_of(pattern, 0, options);
      fixed_[pattern] = keep(make_plan(context_, settings, {}, options));
      out_.stats.add(fixed_[pattern]->stats);
    }
    return fixed_[pattern];
  }

  Sketching make_sketching(int64_t sketch, const at::Tensor& input, const RowInfo& rows) {
    Sketching out;
    {
      const auto timing = context_.timer.measure("sketch");
      out.output = run_sketch(context_, parameters_, shape_, sketch, input, rows.position);
    }
    const at::NoGradGuard no_grad;
    const auto timing = context_.timer.measure("plan");
    const bool scored = !options_.all_keys || options_.observer != nullptr;
    out.scores = {.queries = out.output.queries.detach(),
                  .keys = scored ? gather_keys(context_, out.output.keys) : at::Tensor(),
                  .scale = out.output.temperature.item<double>() / shape_.draw_temperature /
                           std::sqrt(static_cast<double>(shape_.sketch_width)),
                  .layer = static_cast<int>(sketch)};
    if (options_.observer != nullptr)
      options_.observer->sketched(
          context_, {sketch, out.scores, sampled_settings(out.scores, input.options()), input, rows.position});
    if (options_.probe_rate >= 0)
      out.probes = std::make_unique<Probes>(context_, shape_, options_.probe_rate, picks(), sketch, input.options());
    return out;
  }

  const Plan* drawn_plan(int64_t draw, Sketching& sketching, const at::TensorOptions& options) {
    if (options_.all_keys) {
      if (sketching.probes) sketching.probes->watch_all_keys();
      return fixed_plan(Pattern::Dense, options);
    }
    const at::NoGradGuard no_grad;
    const auto timing = context_.timer.measure("plan");
    SketchScores scores = sketching.scores;
    scores.layer = static_cast<int>(draw);
    const Plan* plan = sampled_plan(sampled_settings(scores, options), scores, options);
    if (sketching.probes) sketching.probes->watch(context_, *plan);
    return plan;
  }

  // A layer's own attention chooses.
  const Plan* exact_plan(int64_t layer, const at::Tensor& h, const RowInfo& rows) {
    const at::NoGradGuard no_grad;
    const auto timing = context_.timer.measure("plan");
    const auto [q, k] = layer_queries_and_keys(h, parameters_, layer, shape_, rows.position);
    const at::Tensor keys = gather_keys(context_, k.flatten(1)).view({-1, k.size(1), k.size(2)});
    const SketchScores scores{.queries = q, .keys = keys, .layer = static_cast<int>(layer)};
    return sampled_plan(sampled_settings(scores, h.options()), scores, h.options());
  }

  AttentionSettings sampled_settings(const SketchScores& scores, const at::TensorOptions& options) const {
    AttentionSettings settings = shape_.attention;
    settings.picks = picks();
    if (options_.independent) settings.share_rows = context_.layout.query_block();
    settings.use = use_of(Pattern::Sparse, scores.layer, options);
    return settings;
  }

  const Plan* sampled_plan(const AttentionSettings& settings, const SketchScores& scores,
                           const at::TensorOptions& options) {
    const Plan* plan = keep(make_plan(context_, settings, scores, options));
    PlanStats stats = plan->stats;  // its heads have their places among those of all draws
    stats.picked_by_head.insert(stats.picked_by_head.begin(), static_cast<size_t>(scores.layer * shape_.kv_heads), 0);
    out_.stats.add(stats);
    return plan;
  }

  int64_t picks() const {
    if (options_.all_keys) return context_.layout.num_tokens();
    return options_.picks >= 0 ? options_.picks : shape_.attention.picks;
  }

  ExchangeUse use_of(Pattern pattern, int64_t draw, const at::TensorOptions& options) const {
    const auto element_bytes = static_cast<int64_t>(options.dtype().itemsize());
    ExchangeUse use = exchange_use(shape_, pattern, draw, element_bytes);
    if (pattern == Pattern::Dense) use.layers = dense_layers();
    // Without gradients a layer runs once.
    if (!learns_) use.row_fetches = use.other_fetches = 1;
    use.returns = learns_;
    return use;
  }

  // That the one dense plan serves, by pattern or because of options.
  int64_t dense_layers() const {
    return std::count_if(shape_.pattern.begin(), shape_.pattern.end(), [&](Pattern p) {
      return p == Pattern::Dense || (p == Pattern::Sparse && (options_.dense || options_.all_keys));
    });
  }

  const Plan* keep(Plan plan) {
    out_.plans.push_back(std::make_unique<Plan>(std::move(plan)));
    return out_.plans.back().get();
  }

  const StepContext& context_;
  const Parameters& parameters_;
  const ModelShape& shape_;
  const ForwardOptions& options_;
  Forward& out_;
  const bool learns_;  // a backward pass follows
  std::map<int64_t, Sketching> sparse_;
  std::map<int64_t, const Plan*> sparse_plan_;
  std::map<Pattern, const Plan*> fixed_;
};

RowInfo row_info(const StepContext& context, const Stream& stream, at::Device device) {
  std::vector<int64_t> sample;
  sample.reserve(stream.sequence.size());
  for (int64_t s : stream.sequence)
    sample.push_back(static_cast<int64_t>(context.layout.sequences()[static_cast<size_t>(s)].sample));
  return {.position = index_tensor(stream.position, device), .sample = index_tensor(sample, device)};
}

}  // namespace

Transformer::Transformer(ModelShape shape, const at::TensorOptions& options, uint64_t seed) : shape_(std::move(shape)) {
  if (options.device().is_cpu()) shape_.factors = Factors::AsGiven;  // there run.matmul is LibTorch's own setting
  declare();
  parameters_.finish(options, seed);
  if (shape_.classes > 0) reset_whitening(parameters_);
}

void Transformer::declare() {
  const double scale = shape_.init_scale, out_scale = scale / std::sqrt(2.0 * static_cast<double>(shape_.layers));
  const int64_t c = shape_.width, q = shape_.heads * shape_.head_width, kv = shape_.kv_heads * shape_.head_width;
  const auto matrix = [&](const std::string& name, int64_t out, int64_t in, double s) {
    parameters_.add(name, {out, in}, s, 0, true, false);
  };
  const auto ones = [&](const std::string& name) { parameters_.add(name, {c}, 0, 1, false, false); };
  matrix("embed.weight", shape_.vocabulary, c, scale);
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    ones(prefix + "attn_norm.weight");
    matrix(prefix + "attn.q.weight", q, c, scale);
    matrix(prefix + "attn.k.weight", kv, c, scale);
    matrix(prefix + "attn.v.weight", kv, c, scale);
    matrix(prefix + "attn.o.weight", c, q, out_scale);
    ones(prefix + "mlp_norm.weight");
    matrix(prefix + "mlp.gate.weight", shape_.mlp_width, c, scale);
    matrix(prefix + "mlp.up.weight", shape_.mlp_width, c, scale);
    matrix(prefix + "mlp.down.weight", c, shape_.mlp_width, out_scale);
  }
  ones("final_norm.weight");
  if (!shape_.tie_embeddings) matrix("lm_head.weight", shape_.vocabulary, c, scale);
  if (shape_.classes > 0) declare_label_head(parameters_, shape_);
  declare_sketches(parameters_, shape_);
}

Forward Transformer::forward(const StepContext& context, const Stream& stream, const ForwardOptions& options) const {
  Forward out;
  const at::Device device = parameters_.device();
  const RowInfo rows = row_info(context, stream, device);
  at::Tensor h = look_up(parameters_.value("embed.weight"), index_tensor(stream.token, device));
  const at::Tensor embeddings = h;
  Planner planner(context, parameters_, shape_, options, out);
  std::map<double, RotaryTable> rotary;
  for (double base : shape_.rotary_base)
    if (!rotary.contains(base)) rotary[base] = rotary_table(rows.position, shape_.head_width, base, h.scalar_type());
  const bool replay = shape_.recompute_layers && at::GradMode::is_enabled();
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    const auto served = planner.serve(layer, h, embeddings, rows);
    const RotaryTable& table = rotary[shape_.rotary_base[static_cast<size_t>(layer)]];
    if (!replay) {
      h = run_block({.context = context,
                     .parameters = parameters_,
                     .shape = shape_,
                     .rows = rows,
                     .rotary = table,
                     .plan = *served.plan,
                     .layer = layer,
                     .observer = options.observer},
                    h, served.probes);
      continue;
    }
    // The probes watch the first run only; what the replay needs is copied into it.
    auto watched = std::make_shared<Probes*>(served.probes);
    out.replays.push_back(std::make_unique<std::function<at::Tensor(const at::Tensor&)>>(
        [this, context, rows, table, plan = served.plan, layer, watched](const at::Tensor& x) {
          const Output output = at::GradMode::is_enabled() ? Output::Skip : Output::Compute;
          return run_block({context, parameters_, shape_, rows, table, *plan, layer, output}, x,
                           std::exchange(*watched, nullptr));
        }));
    h = recompute(*out.replays.back(), h);
  }
  planner.finish();
  const auto timing = context.timer.measure("loss");
  h = norm(h, parameters_.value("final_norm.weight"), shape_);
  if (options.body_frozen) h = h.detach();
  LossSum loss;
  if (options.task == Task::Classify) {
    LabelScores scores = label_head(context, parameters_, shape_, h, stream);
    loss = scores.loss, out.pooled = scores.pooled;
  } else {
    loss = token_head(parameters_, shape_, h, stream);
  }
  out.row_loss = loss.row_loss, out.row_correct = loss.row_correct;
  out.task_loss = loss.loss, out.correct = loss.correct, out.counted = loss.counted;
  return out;
}

}  // namespace smartbird
