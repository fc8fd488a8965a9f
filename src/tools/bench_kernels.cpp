// `smartbird bench kernels`: each kernel alone, on one and on all threads in turn, beside the machine's ceilings.
#include <omp.h>

#include <cmath>
#include <cstdio>

#include "kernels/adamw.h"
#include "kernels/draw.h"
#include "kernels/draw_needs.h"
#include "kernels/filled_scan.h"
#include "ops/kernel_input.h"
#include "ops/plan_parts.h"
#include "tools/bench_ceilings.h"
#include "tools/bench_rivals.h"

namespace smartbird {
namespace {

struct KernelRun {
  const char* name;
  std::function<void()> run;
  double flops = 0, gathered_bytes = 0;  // what one run does
};

// The arrays the kernels work on, and the kernels.
class Bench {
 public:
  Bench(const BenchOptions& o, BenchInput& input)
      : options_(o), input_(input), settings_(attention_settings(o, Pattern::Sparse)) {
    plan_ = make_plan(input.context(), settings_, input.scores, at::kFloat);
    domains_ = scan_blocks(input.layout, settings_, input.layout.blocks_of(0));
    lse_.resize(domains_.size());
    grad_o_ = input.grad_o.const_data_ptr<float>();
    const size_t size = static_cast<size_t>(input.q.numel()), lanes = static_cast<size_t>(o.tokens * o.heads);
    acc_.resize(size), o_.resize(size), grad_q_.resize(size), grad_kv_.resize(2 * size);
    weights_.resize(size, 1.0f), moment_.resize(size), square_.resize(size);
    m_.resize(lanes), l_.resize(lanes), row_lse_.resize(lanes);
    attention_ = kernel_input<float>(input.q, input.kv.transpose(0, 1).reshape({-1, input.kv.size(2)}), plan_);
    scan_input_ = {.queries = input.scores.queries.const_data_ptr<float>(),
                   .keys = input.scores.keys.const_data_ptr<float>(),
                   .width = o.sketch_width,
                   .scale = static_cast<float>(input.scores.scale),
                   .blocks = domains_,
                   .excluded = {}};
    scan();
    forward();
  }

  std::vector<KernelRun> runs() {
    const double d = static_cast<double>(options_.head_width), score = 2.0 * static_cast<double>(options_.sketch_width),
                 pairs = attended_pairs(plan_), picked = picked_pairs();
    return {{"scan", [this] { scan(); }, score * static_cast<double>(plan_.stats.scan_pairs)},
            {"draw", [this] { draw(); }, score * drawn_pairs()},
            {"band", [this] { band_alone(); }, 4 * d * (pairs - picked)},
            {"picks", [this] { picks_alone(); }, 4 * d * picked, 2 * sizeof(float) * d * gathered_rows()},
            {"forward", [this] { forward(); }, 4 * d * pairs},
            {"backward", [this] { backward(); }, 10 * d * pairs},
            {"adamw", [this] { update(); }}};
  }

 private:
  [[nodiscard]] double size_of(int64_t list) const {
    return static_cast<double>(plan_.pick_start[static_cast<size_t>(list) + 1] -
                               plan_.pick_start[static_cast<size_t>(list)]);
  }
  // Pairs of a row and a pick of one of its heads.
  [[nodiscard]] double picked_pairs() const {
    double pairs = 0;
    for (int64_t block : plan_.row_block)
      for (int64_t head = 0; head < plan_.pick_heads; ++head) pairs += size_of(block * plan_.pick_heads + head);
    return pairs;
  }
  // Pairs of a block and a key that the draw scores: small domains are taken whole.
  [[nodiscard]] double drawn_pairs() const {
    if (!kernels::needs_scores(settings_.draw)) return 0;
    double pairs = 0;
    for (const kernels::ScanBlock& block : domains_) {
      const int64_t size = kernels::domain_size(block, {});
      if (settings_.picks > 0 && size > settings_.picks) pairs += static_cast<double>(size);
    }
    return pairs;
  }
  // Rows that the forward pass reads: a run of rows reads a key once, or every list of it its own.
  [[nodiscard]] double gathered_rows() const {
    const kernels::PickTiles& tiles = plan_.tiles;
    double rows = 0;
    for (size_t run = 0; run + 1 < tiles.row_begin.size(); ++run) {
      const int64_t first = plan_.row_block[static_cast<size_t>(tiles.row_begin[run])],
                    last = plan_.row_block[static_cast<size_t>(tiles.row_begin[run + 1]) - 1];
      for (int64_t head = 0; head < plan_.pick_heads; ++head) {
        const size_t group = run * static_cast<size_t>(plan_.pick_heads) + static_cast<size_t>(head);
        if (first != last && tiles.walk[group] == kernels::Walk::Union)
          rows += static_cast<double>(tiles.start[group + 1] - tiles.start[group]);
        else
          for (int64_t block = first; block <= last; ++block) rows += size_of(block * plan_.pick_heads + head);
      }
    }
    return rows;
  }
  void begin() {
    kernels::attention_begin<float>(attention_.rows, attention_.heads, attention_.width, m_.data(), l_.data(),
                                    acc_.data());
  }
  void band_alone() { begin(), kernels::attention_band<float>(attention_, m_.data(), l_.data(), acc_.data()); }
  void picks_alone() { begin(), kernels::attention_picks<float>(attention_, m_.data(), l_.data(), acc_.data()); }
  void forward() {
    band_alone();
    kernels::attention_picks<float>(attention_, m_.data(), l_.data(), acc_.data());
    kernels::attention_finish<float>(attention_.rows, attention_.heads, attention_.width, m_.data(), l_.data(),
                                     acc_.data(), o_.data(), row_lse_.data());
  }
  void backward() {
    kernels::attention_backward<float>(attention_, o_.data(), row_lse_.data(), grad_o_, grad_q_.data(),
                                       grad_kv_.data());
  }
  [[nodiscard]] kernels::DrawOptions draw_options() const {
    return {.mode = settings_.draw,
            .picks = settings_.picks,
            .floor = settings_.floor,
            .fill = settings_.fill,
            .heads = settings_.pick_heads,
            .layer = 0,
            .key = philox_key(1, 1, Purpose::Draw)};
  }
  void scan() { kernels::scan_for_draw<float>(scan_input_, draw_options(), lse_.data()); }
  void draw() {
    kernels::Picks<float> picks;
    kernels::draw<float>(scan_input_, lse_.data(), draw_options(), picks);
  }
  void update() {
    kernels::adamw<float>({.learning_rate = 1e-9}, static_cast<int64_t>(acc_.size()), grad_q_.data(), weights_.data(),
                          moment_.data(), square_.data());
  }

  const BenchOptions& options_;
  BenchInput& input_;
  AttentionSettings settings_;
  Plan plan_;
  std::vector<kernels::ScanBlock> domains_;
  kernels::ScanInput<float> scan_input_;
  kernels::AttentionInput<float> attention_;
  const float* grad_o_ = nullptr;
  std::vector<double> lse_;
  std::vector<float> acc_, o_, grad_q_, grad_kv_, m_, l_, row_lse_, weights_, moment_, square_;
};

Candidate timed(const KernelRun& kernel, int64_t threads) {
  return [&kernel, threads] {
    omp_set_num_threads(static_cast<int>(threads));
    const Stopwatch watch;
    kernel.run();
    return std::map<std::string, double>{{"total", watch.elapsed_ms()}};
  };
}

}  // namespace

nlohmann::json bench_kernels(const BenchOptions& o) {
  const Ceilings ceilings = measure_ceilings(o.threads, o.tokens * o.heads, 2 * o.head_width);
  BenchInput input(o);
  const AttentionSettings settings = attention_settings(o, Pattern::Sparse);
  {
    std::map<std::string, double> ms;
    const Plan plan = make_plan(input.context(), settings, input.scores, at::kFloat);
    check_answer(input, plan, run_along(input, plan, ms));
  }
  Bench bench(o, input);
  const std::vector<KernelRun> kernels = bench.runs();
  std::vector<Candidate> candidates;
  for (const KernelRun& kernel : kernels)
    for (int64_t threads : {int64_t{1}, o.threads}) candidates.push_back(timed(kernel, threads));
  const std::vector<StageSamples> samples = take_turns(candidates, o.repeats, o.seconds);

  std::printf("kernels: %s\n", attended_text(o).c_str());
  std::printf("one thread at most: %.1f GFLOP/s (FMA), %.2f G exp/s, %.1f GB/s gathered from %.0f MB\n",
              ceilings.fma_gflops, ceilings.exp_giga, ceilings.gather_gbps,
              static_cast<double>(ceilings.footprint_bytes) * 1e-6);
  std::printf("  %-9s %12s %12s %9s %10s %10s\n", "kernel", "1 thread ms", "all ms", "speed-up", "GFLOP/s",
              "of ceiling");
  nlohmann::json out = nlohmann::json::array();
  for (size_t i = 0; i < kernels.size(); ++i) {
    const Samples &one = samples[2 * i].at("total"), &all = samples[2 * i + 1].at("total");
    const double gflops = kernels[i].flops / one.median() * 1e-6,
                 gbps = kernels[i].gathered_bytes / one.median() * 1e-6;
    const double share = kernels[i].gathered_bytes > 0 ? gbps / ceilings.gather_gbps : gflops / ceilings.fma_gflops;
    nlohmann::json entry = to_json(o);
    entry["kernel"] = kernels[i].name, entry["ceilings"] = to_json(ceilings);
    entry["ours_ms"] = {{"one_thread", one.median()}, {"all_threads", all.median()}, {"total", all.median()}};
    entry["speed_up"] = one.median() / all.median(), entry["gflops"] = gflops, entry["gathered_gb_per_s"] = gbps;
    entry["share_of_ceiling"] = share, entry["spread"] = {{"one_thread", one.spread()}, {"all_threads", all.spread()}};
    entry["repeats"] = one.ms.size();
    out.push_back(entry);
    std::printf("  %-9s %12.3f %12.3f %9.2f %10.1f %9.0f%%", kernels[i].name, one.median(), all.median(),
                one.median() / all.median(), gflops, share * 100);
    if (gbps > 0) std::printf("  (%.1f GB/s of the gather ceiling)", gbps);
    std::printf("\n");
  }
  std::printf("  backward / forward on one thread: %.2f\n",
              samples[10].at("total").median() / samples[8].at("total").median());
  return out;
}

}  // namespace smartbird
