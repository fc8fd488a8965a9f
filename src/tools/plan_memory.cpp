// Memory by item.
#include "tools/plan_memory.h"

#include <omp.h>

#include <algorithm>
#include <fstream>

#include "kernels/draw_needs.h"
#include "kernels/filled_scan.h"
#include "ops/chunks.h"

namespace smartbird {
namespace {

struct Sizes {
  double t, n, e, k;                // rows, tokens of the stream, bytes of an element, of one of keys and values
  double c, hd, gd, f, h, g, d, v;  // widths in elements
  double layers, sparse, sketches, draws, m, inner, taps;
  double blocks, pick_heads, picks;  // query blocks and expected picks of this rank, all lists of a sketch
  double fetched;                    // (row, kv head) pairs of other ranks, mean of the layers
  double parameters, shard;
};

Sizes sizes_of(const PlanCase& plan) {
  const ModelShape& s = plan.shape;
  const Layout layout = plan.layout_of(plan.largest_stream());
  int fullest = 0;
  for (int rank = 1; rank < layout.num_ranks(); ++rank)
    if (layout.rank_tokens(rank) > layout.rank_tokens(fullest)) fullest = rank;
  Sizes z{};
  z.t = static_cast<double>(layout.rank_tokens(fullest)), z.n = static_cast<double>(layout.num_tokens());
  z.e = static_cast<double>(plan.element_bytes), z.k = s.bfloat16_kv ? 2 : z.e;
  z.c = static_cast<double>(s.width), z.h = static_cast<double>(s.heads), z.g = static_cast<double>(s.kv_heads);
  z.d = static_cast<double>(s.head_width), z.hd = z.h * z.d, z.gd = z.g * z.d, z.f = static_cast<double>(s.mlp_width);
  z.v = static_cast<double>(s.classes > 0 ? s.classes : s.vocabulary);
  z.layers = static_cast<double>(s.layers);
  z.sparse = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), Pattern::Sparse));
  z.sketches = static_cast<double>(s.num_sketches());
  z.draws = static_cast<double>(s.draws().size());
  z.m = static_cast<double>(s.sketch_width), z.inner = static_cast<double>(s.sketch_inner);
  z.taps = static_cast<double>(s.sketch_taps);
  PlanCase stream = plan;
  stream.streams = {plan.largest_stream()};
  const PairCounts pairs = count_pairs(stream);
  const double share = z.n > 0 ? z.t / z.n : 0;
  z.pick_heads = static_cast<double>(s.attention.pick_heads);
  z.blocks = static_cast<double>(pairs.blocks) * share;
  z.picks = pairs.picks * share / static_cast<double>(plan.query_block) * z.pick_heads;
  const double dense = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), Pattern::Dense));
  const double phi = std::min(1.0, plan.phi * (s.attention.visibility.causal ? 2 : 1));  // of the rank that sees most
  const double of_others = (z.n - z.t) * z.g;
  switch (s.attention.exchange) {
    case ExchangePlan::Auto:  // settled before
    case ExchangePlan::Rows: z.fetched = of_others * (phi * z.sparse + dense) / z.layers; break;
    case ExchangePlan::All: z.fetched = of_others * (z.sparse + dense) / z.layers; break;
    case ExchangePlan::Heads: break;  // as much goes as comes
  }
  z.parameters = static_cast<double>(count_parameters(s).all());
  z.shard = z.parameters / static_cast<double>(plan.ranks);
  return z;
}

// What a layer keeps from its forward pass for its backward pass, in bytes: its middle and its output; q, o, log-sum-exp;
// its own keys and values (its units, where it fetches rows and keeps them); both inner products of the MLP.
double saved_by_layer(const ModelShape& s, const Sizes& z) {
  const double attention = 2 * z.hd + z.h, mlp = s.keep_mlp ? 2 * z.f : 0, dropped = s.dropout > 0 ? 2 * z.c : 0;
  return z.e * z.t * (2 * z.c + attention + mlp + dropped) +
         z.k * (2 * z.gd * z.t + (s.fetch_again ? 0 : z.fetched) * 2 * z.d);
}

// What comes and goes in a chunk of rows of the MLP, forward and backward.
double mlp_chunk(const Sizes& z) { return z.e * std::min(z.t, double{kChunkRows}) * (2 * z.c + 3 * z.f); }

// Beyond what is saved, in a layer's backward pass: the MLP's gradient comes in and goes out, then those of q, o, units.
double layer_gradients(const ModelShape& s, const Sizes& z, double saved_inside_mlp) {
  const double mlp = 2 * z.c * z.t * z.e + mlp_chunk(z) + 3 * z.e * z.c * z.f;
  const double fetched = z.fetched * 2 * z.d,
               units = z.e * (2 * z.gd * z.t + fetched) + z.k * (s.fetch_again ? fetched : 0);
  const double attention = z.e * (2 * z.c + 2 * z.hd) * z.t + units - saved_inside_mlp;
  return std::max(mlp, attention);
}

// In the backward pass of a layer's attention when the layer was computed again: q, o, log-sum-exp, units, and the gradients
// of the layer's rows, q, o and units; what its MLP kept is gone.
double replayed_attention(const ModelShape& s, const Sizes& z) {
  const double own = 2 * z.gd * z.t, fetched = z.fetched * 2 * z.d;
  return z.e * (z.t * (z.c + 4 * z.hd + z.h) + own + fetched) + z.k * (own + (s.fetch_again ? 0 : fetched));
}

// Arrays of at least so many bytes are mapped alone and given back when freed (launch/smartbird.cpp).
constexpr double kMappedBytes = 1 << 30;

class Builder {
 public:
  Builder(const PlanCase& plan, const Sizes& z) : plan_(plan), z_(z) {}

  void whole(const std::string& name, const std::string& formula, double bytes) {
    add(name, formula, {bytes, bytes, bytes, bytes, bytes});
  }
  void add(const std::string& name, const std::string& formula, std::array<double, 5> bytes) {
    if (*std::max_element(bytes.begin(), bytes.end()) > 0) out_.items.push_back({name, formula, bytes});
    if (name == "layer at work") at_work_ = out_.items.back();
  }

  void add_run(const HeldBefore& held) {
    const double n = z_.parameters * z_.e, shard = z_.shard * z_.e;
    whole("libraries", "this process before data and model, measured", held.library_bytes);
    whole("data", "what opening it took, measured", held.data_bytes);
    whole("parameters", "e n", n);
    whole("gradients", "e n", n);
    whole("optimizer state", "two moments and the summed gradient of my range: 3 e n / ranks", 3 * shard);
    add("update", "e n, what the reduction receives", {0, 0, 0, 0, n});
  }

  void add_stream() {
    const ModelShape& s = plan_.shape;
    whole("stream", "tokens, targets, positions, samples: 72 T", 72 * z_.t);
    whole("rotary tables", "e D T, one pair a base", z_.e * z_.d * z_.t);
    add("embeddings", "e C T", {1, 1, 1, 1, 0}, z_.e * z_.c * z_.t);
    const double inner = 6 * z_.inner * z_.e + 8 * z_.taps + 32, rows = 3 * z_.m * z_.e;
    add("sketch", "its rows before and after norm, convolution, rotation; keys of all ranks e M N", {1, 1, 1, 1, 0},
        z_.sketches * (z_.t * (inner + rows) + z_.e * z_.m * z_.n));
    const double lists = z_.blocks * z_.pick_heads * 16, picks = z_.picks * (16 + z_.e);
    add("plan", "bands 24 T, slots 4 N, (16 + e) a pick, 16 a list", {1, 1, 1, 1, 0},
        std::max(1.0, z_.draws) * (24 * z_.t + 4 * z_.n + lists + picks));
    kernels::DrawOptions draw;
    draw.mode = s.attention.draw, draw.picks = s.attention.picks, draw.heads = s.attention.pick_heads;
    draw.floor = s.attention.floor, draw.fill = s.attention.fill;
    const std::vector<int64_t>& stream = plan_.largest_stream();
    const int64_t longest = stream.empty() ? 0 : *std::max_element(stream.begin(), stream.end()),
                  kept = z_.e == 4 ? std::max(kernels::kept_bytes<float>(draw, longest),
                                              kernels::filling_bytes<float>(draw, longest))
                                   : std::max(kernels::kept_bytes<double>(draw, longest),
                                              kernels::filling_bytes<double>(draw, longest));
    const double chunk = std::min(z_.picks * 12 * 1.5, 2.0 * static_cast<double>(s.attention.scan_budget_bytes));
    add("draw", "packed keys e M N, drawn picks, best keys of each thread, marks 4 G N, blocks 112 Q", {1, 0, 0, 0, 0},
        z_.sketches > 0 ? z_.e * z_.m * z_.n + chunk + static_cast<double>(kept * omp_get_max_threads()) +
                              z_.picks * 24 + 4 * z_.g * z_.n + 112 * z_.blocks + 16 * z_.n
                        : 0);
  }

  void add_layers() {
    const ModelShape& s = plan_.shape;
    const double row = z_.e * z_.c * z_.t, saved = saved_by_layer(s, z_), work = mlp_chunk(z_);
    if (s.recompute_layers) {
      add("layers", "outputs of layers: e C T L", {0, 1, 1, 1, 0}, row * z_.layers);
      replay_ = saved + row + layer_gradients(s, z_, 0);
      add("layer at work",
          "what it would save and its output; going back, e T (C + 4 H D + 4 G D + H) or, in the MLP, e T 2 C more",
          {0, saved + row + work, 0, std::max(replayed_attention(s, z_), saved + 2 * row + work), 0});
    } else {
      add("layers",
          s.keep_mlp ? "e T (2 C + 2 H D + H + 2 F), keys and values 2 G D T and fetched rows, times L"
                     : "e T (2 C + 2 H D + H), keys and values 2 G D T and fetched rows, times L",
          {0, 1, 1, 1, 0}, saved * z_.layers);
      add("layer at work", "a chunk of the MLP; gradients going back: e T 2 C, or of q, o, units",
          {0, work, 0, layer_gradients(s, z_, z_.e * z_.t * (z_.c + (s.keep_mlp ? 2 * z_.f : 0))), 0});
    }
    const double logits = z_.e * z_.v * std::min(static_cast<double>(s.loss_rows), z_.t), head = 2 * z_.e * z_.v * z_.c;
    add("loss", "final norm, its gradient: 2 e C T; rows of logits e V loss_rows",
        {0, 0, 2 * row + logits + head, row + head, 0});
    if (plan_.probes == 0 || z_.sparse == 0) return;
    const double targets = plan_.probes * z_.t * (z_.e + 1), sums = z_.e * z_.t * (z_.pick_heads + 2);
    add("probes", "targets R T (e + 1), scores R T 2 e for their loss; a row of sums for each pick head",
        {0, targets + sums, targets + plan_.probes * z_.t * 2 * z_.e, z_.e * z_.m * z_.t, 0});
  }

  // glibc before 2.38 cuts aligned blocks out of larger ones, so that one of the same size does not fit where the last was
  // freed: each layer's chunks find new places, and of what a replay makes 0.25 to 0.75 does, from run to run; 0.45 is within
  // 15 % of all of them. Measured on real steps.
  void add_heap() {
    const ModelShape& s = plan_.shape;
    const double rows = std::min(z_.t, double{kChunkRows}),
                 chunks = z_.e * rows * (2 * z_.c + z_.gd + (s.keep_mlp ? 1 : 2) * z_.f) * z_.layers;
    const bool mapped = z_.e * z_.c * z_.t >= kMappedBytes;
    const double replay = s.recompute_layers && !mapped ? 1.45 * replay_ - at_work_.at(Moment::Backward) : 0;
    add("heap",
        "free but unfit for new arrays: chunks of rows of every layer, of a replay 0.45 and its output and middle",
        {0, chunks, chunks, chunks + replay, chunks + replay});
  }

  MemoryPlan finish() { return std::move(out_); }

 private:
  void add(const std::string& name, const std::string& formula, std::array<double, 5> when, double bytes) {
    for (double& x : when) x *= bytes;
    add(name, formula, when);
  }
  const PlanCase& plan_;
  const Sizes& z_;
  MemoryPlan out_;
  MemoryItem at_work_;
  double replay_ = 0;  // all that a layer allocates in its backward pass
};

}  // namespace

const char* name_of(Moment moment) {
  constexpr std::array kNames{"plan", "forward", "loss", "backward", "update"};
  return kNames[static_cast<size_t>(moment)];
}

double MemoryPlan::total(Moment moment) const {
  double sum = 0;
  for (const MemoryItem& item : items) sum += item.at(moment);
  return sum;
}

Moment MemoryPlan::peak() const {
  return *std::max_element(kMoments.begin(), kMoments.end(),
                           [this](Moment a, Moment b) { return total(a) < total(b); });
}

MemoryPlan predict_memory(const PlanCase& plan, const HeldBefore& held) {
  const Sizes sizes = sizes_of(plan);
  Builder builder(plan, sizes);
  builder.add_run(held);
  builder.add_stream();
  builder.add_layers();
  builder.add_heap();
  return builder.finish();
}

Resident resident_now() {
  std::ifstream in("/proc/self/status");
  Resident out;
  for (std::string key; in >> key;) {
    double kib = 0;
    if (key == "RssAnon:" && in >> kib) out.private_bytes = kib * 1024;
    if ((key == "RssFile:" || key == "RssShmem:") && in >> kib) out.file_bytes += kib * 1024;
  }
  return out;
}

}  // namespace smartbird
