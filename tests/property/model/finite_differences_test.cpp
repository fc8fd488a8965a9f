// Law: the gradients of the task's loss and of the sketch's loss agree with central differences in double, for three
// elements of every parameter, through the exchange between ranks and under every choice of the model.
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "tests/support/cover_pairs.h"
#include "tests/support/tiny_run.h"

namespace smartbird::testing {
namespace {

using kernels::DrawMode;

struct Case {
  TinyRun run;
  int ranks = 3;
};

Case plain_case() {
  Case c;
  c.run.shape = tiny_shape();
  c.run.shape.attention.draw = DrawMode::Uniform;  // picks and log π that no weight moves
  c.run.lengths = {18, 1, 23};
  c.run.probe_rate = 0.2;
  return c;
}

void classify(Case& c, Pooling pooling) {
  c.run.task = Task::Classify, c.run.shape.classes = 3, c.run.shape.pooling = pooling;
}

std::vector<NamedCase<Case>> cases() {
  return covering_cases<Case>(
      plain_case(),
      {{{"clm", [](Case&) {}},
        {"mean", [](Case& c) { classify(c, Pooling::Mean); }},
        {"first", [](Case& c) { classify(c, Pooling::First); }},
        {"attention", [](Case& c) { classify(c, Pooling::Attention); }},
        {"statistics", [](Case& c) { classify(c, Pooling::Statistics); }}},
       {{"causal", [](Case&) {}},
        {"prefix", [](Case& c) { c.run.shape.attention.visibility.prefix = 7; }},
        {"bidirectional", [](Case& c) { c.run.shape.attention.visibility.causal = false; }}},
       {{"P 3", [](Case&) {}},
        {"P 6, some empty", [](Case& c) { c.ranks = 6; }},
        {"P 2 zigzag", [](Case& c) { c.ranks = 2, c.run.layout = LayoutKind::Zigzag; }}},
       {{"b 1", [](Case&) {}}, {"b 16", [](Case& c) { c.run.query_block = 16, c.run.probe_rate = 1; }}},
       {{"no globals", [](Case&) {}},
        {"globals",
         [](Case& c) {
           c.run.shape.attention.global_positions = {0, 6};
         }}},
       {{"kept", [](Case&) {}},
        {"inside of the MLP recomputed", [](Case& c) { c.run.shape.keep_mlp = false; }},
        {"recomputed", [](Case& c) { c.run.shape.recompute_layers = true, c.run.shape.keep_mlp = false; }}},
       {{"fetched rows kept", [](Case&) {}}, {"fetched again", [](Case& c) { c.run.shape.fetch_again = true; }}},
       {{"rows", [](Case&) {}}, {"all", [](Case& c) { c.run.shape.attention.exchange = ExchangePlan::All; }}},
       {{"kv picks", [](Case&) {}}, {"query picks", [](Case& c) { c.run.shape.attention.pick_heads = 4; }}},
       {{"one sketch", [](Case&) {}},
        {"a sketch a layer", [](Case& c) { c.run.shape.sketch_per_layer = true; }},
        {"a draw a layer", [](Case& c) { c.run.shape.redraw_layers = true; }}},
       {{"learns what it draws from", [](Case&) {}},
        {"learns all that is visible", [](Case& c) { c.run.shape.sketch_of_visible = true; }}},
       {{"four taps", [](Case&) {}},
        {"three taps", [](Case& c) { c.run.shape.sketch_taps = 3; }},
        {"no taps", [](Case& c) { c.run.shape.sketch_taps = 0; }}},
       {{"sparse", [](Case&) {}},
        {"dense, sparse",
         [](Case& c) {
           c.run.shape.pattern = {Pattern::Dense, Pattern::Sparse};
         }},
        {"sparse, window",
         [](Case& c) {
           c.run.shape.pattern = {Pattern::Sparse, Pattern::Window};
         }}},
       {{"uniform", [](Case&) {}},
        {"topk", [](Case& c) { c.run.shape.attention.draw = DrawMode::TopK; }},
        {"poisson without correction",
         [](Case& c) { c.run.shape.attention.draw = DrawMode::Poisson, c.run.shape.attention.correction = false; }}},
       {{"rms", [](Case&) {}}, {"layer norm", [](Case& c) { c.run.shape.layer_norm = true; }}},
       {{"swiglu", [](Case&) {}}, {"geglu", [](Case& c) { c.run.shape.geglu = true; }}},
       {{"tied", [](Case&) {}}, {"untied", [](Case& c) { c.run.shape.tie_embeddings = false; }}},
       {{"no dropout", [](Case&) {}}, {"dropout", [](Case& c) { c.run.shape.dropout = 0.3; }}}});
}

struct Moved {
  double loss = 0;
  uint64_t picks_hash = 0;
};

struct Element {
  const Parameter& parameter;
  int64_t index = 0;  // in the flat weights
};

// The loss that an element's side learns from, with the element moved by +step ([i][0]) and by -step ([i][1]); without
// gradients, and without probes where they do not matter.
std::vector<std::array<Moved, 2>> moved_losses(const Case& c, const std::vector<Element>& elements, double step) {
  std::vector<std::array<Moved, 2>> out(elements.size());
  std::mutex lock;
  run_thread_ranks(c.ranks, [&](Communicator& group) {
    const at::NoGradGuard no_grad;
    TinyRank rank(c.run, group);
    double* weights = rank.model.parameters().flat().mutable_data_ptr<double>();
    for (size_t i = 0; i < elements.size(); ++i)
      for (size_t side : {0, 1}) {
        const bool sketch = elements[i].parameter.sketch;
        double& weight = weights[elements[i].index];
        const double before = weight;
        weight += side == 0 ? step : -step;
        const Forward forward = rank.forward(sketch ? c.run.probe_rate : -1);
        weight = before;
        const std::lock_guard guard(lock);
        out[i][side].loss += (sketch ? forward.sketch_loss : forward.task_loss).item<double>();
        out[i][side].picks_hash += forward.stats.picks_hash;
      }
  });
  return out;
}

// False where the gradient must be exactly zero: weights that do not learn, that do not enter (so the sketch of a layer
// that is not sparse), and the queries and keys of a first row that sees itself alone.
bool learns(const Parameter& p, const Case& c) {
  const bool labels = c.run.task == Task::Classify;
  const Visibility& visibility = c.run.shape.attention.visibility;
  if (p.name == "classifier.mean" || p.name == "classifier.whitening") return false;
  for (size_t layer = 0; p.sketch && c.run.shape.sketch_per_layer && layer < c.run.shape.pattern.size(); ++layer)
    if (p.name.starts_with("sketch." + std::to_string(layer) + "."))
      return c.run.shape.pattern[layer] == Pattern::Sparse;
  if (p.name.ends_with("attn.q.weight") || p.name.ends_with("attn.k.weight"))
    return !labels || c.run.shape.pooling != Pooling::First || !visibility.causal || visibility.prefix > 1;
  return p.name != "lm_head.weight" || !labels;
}

// The element with the largest gradient and two others, of each parameter that `checked` takes.
void check_differences(const Case& c, const std::string& name, const std::function<bool(const Parameter&)>& checked) {
  const TinyResult base = run_tiny(c.run, c.ranks);
  const Transformer model(c.run.shape, c.run.dtype, c.run.seed);
  std::vector<Element> elements;
  const auto grad_of = [&](const Parameter& p) {
    return (p.sketch ? base.sketch_grad : base.task_grad).narrow(0, p.offset, p.count);
  };
  for (const Parameter& p : model.parameters().list()) {
    const at::Tensor grad = grad_of(p).abs();
    EXPECT_EQ(grad.max().item<double>() > 0, learns(p, c)) << name << ", " << p.name;
    if (!learns(p, c) || !checked(p)) continue;
    const int64_t at = grad.argmax().item<int64_t>();
    for (int64_t i : std::set<int64_t>{at, (at + 1 + p.count / 3) % p.count, (at + 1 + 2 * p.count / 3) % p.count})
      elements.push_back({p, p.offset + i});
  }
  const double step = 1e-5;
  const auto moved = moved_losses(c, elements, step);
  for (size_t i = 0; i < elements.size(); ++i) {
    const auto& [p, index] = elements[i];
    const auto& [above, below] = moved[i];
    ASSERT_TRUE(above.picks_hash == base.picks_hash && below.picks_hash == base.picks_hash)
        << name << ", " << p.name << ": a pick moved, so there is no derivative to compare with";
    EXPECT_NEAR((above.loss - below.loss) / (2 * step), grad_of(p)[index - p.offset].item<double>(),
                1e-6 * grad_of(p).abs().max().item<double>() + 1e-8)
        << name << ", " << p.name << ", element " << index - p.offset;
  }
}

bool every(const Parameter&) { return true; }

TEST(FiniteDifferences, EveryParameterUnderEveryChoice) {
  for (const auto& [name, c] : cases()) check_differences(c, name, every);
}

// With π_min above the π of some picks.
TEST(FiniteDifferences, FewerTokensThanRanks) {
  for (const bool causal : {true, false}) {
    Case c = plain_case();
    c.run.lengths = {2, 6}, c.ranks = 9;
    c.run.shape.attention.visibility.causal = causal, c.run.shape.attention.picks = 1;
    c.run.shape.attention.window = 1, c.run.shape.attention.min_inclusion = 0.4, c.run.probe_rate = 1;
    check_differences(c, causal ? "causal" : "bidirectional", every);
  }
}

// log π of a drawn pick is a constant to the gradient, but moves with what the sketch reads: embeddings,
// and its own weights. All others must agree, the picks being held.
TEST(FiniteDifferences, CorrectedDraws) {
  for (const DrawMode draw : {DrawMode::Poisson, DrawMode::Systematic})
    for (const int block : {1, 16}) {
      Case c = plain_case();
      c.run.query_block = block, c.run.probe_rate = 1, c.run.shape.tie_embeddings = false,
      c.run.shape.attention.draw = draw;
      check_differences(c, draw == DrawMode::Poisson ? "poisson" : "systematic",
                        [](const Parameter& p) { return !p.sketch && p.name != "embed.weight"; });
    }
}

// The sketch's own loss under draws that it moves: the attention of the first layer, its target, is free of picks.
TEST(FiniteDifferences, SketchLossOfOneLayer) {
  for (const bool causal : {true, false}) {
    Case c = plain_case();
    c.run.shape.layers = 1, c.run.shape.attention.visibility.causal = causal;
    c.run.shape.attention.draw = DrawMode::Poisson;
    check_differences(c, causal ? "causal" : "bidirectional", [](const Parameter& p) { return p.sketch; });
  }
}

}  // namespace
}  // namespace smartbird::testing
