// Memory by item.
#include "tools/plan_memory.h"

#include <algorithm>
#include <fstream>

namespace smartbird {
namespace {

// Of the heap beyond the arrays that come and go: 64-byte aligned blocks do not fit again where one of the same size was
// freed (glibc before 2.38), so new ones find new places. Measured: 1.45 to 1.6 times what lives.
constexpr double kHeapWaste = 0.53;

bool comes_and_goes(const std::string& item) {
  return item == "embeddings" || item == "sketch" || item == "layers" || item == "layer at work" || item == "loss" ||
         item == "probes" || item == "update";
}

struct Sizes {
  double t, n, e;                   // rows, tokens of the stream, bytes of an element
  double c, hd, gd, f, h, g, d, v;  // widths in elements
  double layers, sparse, sketches, m, inner, taps;
  double blocks, pick_heads, picks;  // query blocks and expected picks of this rank, all lists of a sketch
  double fetched;                    // (row, kv head) pairs of other ranks
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
  z.e = static_cast<double>(plan.element_bytes);
  z.c = static_cast<double>(s.width), z.h = static_cast<double>(s.heads), z.g = static_cast<double>(s.kv_heads);
  z.d = static_cast<double>(s.head_width), z.hd = z.h * z.d, z.gd = z.g * z.d, z.f = static_cast<double>(s.mlp_width);
  z.v = static_cast<double>(s.classes > 0 ? s.classes : s.vocabulary);
  z.layers = static_cast<double>(s.layers);
  z.sparse = static_cast<double>(std::count(s.pattern.begin(), s.pattern.end(), Pattern::Sparse));
  z.sketches = static_cast<double>(s.num_sketches());
  z.m = static_cast<double>(s.sketch_width), z.inner = static_cast<double>(s.sketch_inner);
  z.taps = static_cast<double>(s.sketch_taps);
  PlanCase stream = plan;
  stream.streams = {plan.largest_stream()};
  const PairCounts pairs = count_pairs(stream);
  const double share = z.n > 0 ? z.t / z.n : 0;
  z.pick_heads = static_cast<double>(s.attention.pick_heads);
  z.blocks = static_cast<double>(pairs.blocks) * share;
  z.picks = pairs.picks * share / static_cast<double>(plan.query_block) * z.pick_heads;
  z.fetched = plan.phi * (z.n - z.t) * z.g;
  z.parameters = static_cast<double>(count_parameters(s).all());
  z.shard = z.parameters / static_cast<double>(plan.ranks);
  return z;
}

// What the forward pass of a layer leaves for its backward pass, in bytes.
double saved_by_layer(const Sizes& z) {
  const double norms = 4 * z.c, sums = 2 * z.c;  // each norm: its input over the root, its output; two residual sums
  const double attention = 2 * z.hd + z.h;       // q, o, log-sum-exp
  const double mlp = 4 * z.f;                    // gate, up, activation, product
  return z.e * (z.t * (norms + sums + attention + mlp) + (z.t * z.g + z.fetched) * 2 * z.d);  // and the units
}

class Builder {
 public:
  Builder(const PlanCase& plan, const Sizes& z) : plan_(plan), z_(z) {}

  void whole(const std::string& name, const std::string& formula, double bytes) {
    add(name, formula, {bytes, bytes, bytes, bytes, bytes});
  }
  void add(const std::string& name, const std::string& formula, std::array<double, 5> bytes) {
    if (*std::max_element(bytes.begin(), bytes.end()) > 0) out_.items.push_back({name, formula, bytes});
  }

  void add_run(const HeldBefore& held) {
    const double n = z_.parameters * z_.e, shard = z_.shard * z_.e;
    whole("libraries", "this process before data and model, measured", held.library_bytes);
    whole("data", "what opening it took, measured", held.data_bytes);
    whole("parameters", "e n", n);
    whole("gradients", "e n", n);
    whole("optimizer state", "two moments and the summed gradient of my range: 3 e n / ranks", 3 * shard);
    add("update", "e n to reduce, squares in double 16 n / ranks", {0, 0, 0, 0, n + 16 * z_.shard + shard});
  }

  void add_stream() {
    const ModelShape& s = plan_.shape;
    whole("stream", "tokens, targets, positions, samples: 72 T", 72 * z_.t);
    whole("rotary tables", "e D T, one pair a base", z_.e * z_.d * z_.t);
    add("embeddings", "e C T", {1, 1, 1, 1, 0}, z_.e * z_.c * z_.t);
    const double inner = 6 * z_.inner * z_.e + 8 * z_.taps + 16, rows = 3 * z_.m * z_.e;
    add("sketch", "its rows before and after norm, convolution, rotation; keys of all ranks e M N", {1, 1, 1, 1, 0},
        z_.sketches * (z_.t * (inner + rows) + z_.e * z_.m * z_.n));
    const double lists = z_.blocks * z_.pick_heads * 16, picks = z_.picks * (20 + z_.e);
    add("plan", "bands 24 T, slots 4 N, (20 + e) a pick, 16 a list", {1, 1, 1, 1, 0},
        std::max(1.0, z_.sketches) * (24 * z_.t + 4 * z_.n + lists + picks));
    const double chunk = std::min(z_.picks * 12 * 1.5, 2.0 * static_cast<double>(s.attention.scan_budget_bytes));
    add("draw", "packed keys e M N, drawn picks, marks 4 G N, blocks 112 Q", {1, 0, 0, 0, 0},
        z_.sketches > 0 ? z_.e * z_.m * z_.n + chunk + z_.picks * 24 + 4 * z_.g * z_.n + 112 * z_.blocks + 16 * z_.n
                        : 0);
  }

  void add_layers() {
    const ModelShape& s = plan_.shape;
    const double saved = saved_by_layer(z_), kept = s.recompute_layers ? z_.e * z_.c * z_.t : saved;
    const double last = s.recompute_layers ? 0 : saved;  // of the layer at work in Moment::Forward
    add("layers",
        s.recompute_layers ? "inputs of layers: e C T L" : "e T (6 C + 2 H D + H + 4 F) + units 2 e D U, times L",
        {0, kept * z_.layers - last, kept * z_.layers, kept * z_.layers, 0});
    const double at_work = z_.e * z_.t * (2 * z_.c + 4 * z_.f), back = z_.e * z_.t * (2 * z_.c + 3 * z_.f);
    add("layer at work", "forward: activations of an MLP; backward: gradients of an MLP e T (2 C + 3 F)",
        {0, s.recompute_layers ? saved + z_.e * z_.t * z_.c : std::max(saved, at_work), 0,
         back + (s.recompute_layers ? saved : 0), 0});
    const double rows = std::min(static_cast<double>(s.loss_rows), z_.t);
    add("loss", "final norm and its gradient 3 e C T; rows of logits 3 e V loss_rows",
        {0, 0, z_.e * (3 * z_.c * z_.t + 3 * z_.v * rows + z_.v * z_.c), z_.e * (4 * z_.c * z_.t + 2 * z_.v * z_.c),
         0});
    if (plan_.probes == 0 || z_.sparse == 0) return;
    const double chunk = std::min(static_cast<double>(s.probe_budget_bytes) / 8,
                                  z_.e * z_.h * z_.t * static_cast<double>(plan_.query_block));
    const double targets = plan_.probes * z_.t * (2 * z_.e + 1);
    add("probes", "scores of a chunk of keys, twice; keys in order e G D T; targets R T (2 e + 1)",
        {0, 4 * chunk + z_.e * z_.gd * z_.t + targets, targets + plan_.probes * z_.t * 2 * z_.e, 0, 0});
  }

  MemoryPlan finish() {
    MemoryItem waste{"heap", "free but unfit for new arrays: 0.53 of those that come and go", {}};
    for (Moment moment : kMoments)
      for (const MemoryItem& item : out_.items)
        if (comes_and_goes(item.name)) waste.bytes[static_cast<size_t>(moment)] += kHeapWaste * item.at(moment);
    out_.items.push_back(waste);
    return std::move(out_);
  }

 private:
  void add(const std::string& name, const std::string& formula, std::array<double, 5> when, double bytes) {
    for (double& x : when) x *= bytes;
    add(name, formula, when);
  }
  const PlanCase& plan_;
  const Sizes& z_;
  MemoryPlan out_;
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
