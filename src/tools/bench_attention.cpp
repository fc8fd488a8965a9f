// `smartbird bench attention`: the whole operator (scan, draw, forward, backward) against a rival, taking turns.
#include <cstdio>

#include "tools/bench_ceilings.h"
#include "tools/bench_rivals.h"

namespace smartbird {
namespace {

constexpr int64_t kLongestDense = 32768;  // beyond it a dense rival is measured once, at this length, and scaled

std::map<std::string, double> run_ours(BenchInput& input, const AttentionSettings& settings) {
  input.timer.clear();
  const Stopwatch watch;
  const Plan plan = make_plan(input.context(), settings, input.scores, at::kFloat);
  const double planned = watch.elapsed_ms();
  std::map<std::string, double> ms;
  const BenchAnswer answer = run_along(input, plan, ms);
  ms["total"] = watch.elapsed_ms();
  for (const char* stage : {"scan", "draw"}) {
    const auto found = input.timer.total_ms().find(stage);
    ms[stage] = found == input.timer.total_ms().end() ? 0 : found->second;
  }
  ms["lists"] = planned - ms["scan"] - ms["draw"];
  return ms;
}

struct RivalTimes {
  StageSamples samples;
  double scale = 1;  // to the tokens asked for
  double flops = 0;  // of what was measured
};

RivalTimes time_scaled(const BenchOptions& o) {
  BenchOptions shorter = o;
  shorter.tokens = kLongestDense;
  BenchInput input(shorter);
  const Plan none = make_plan(input.context(), attention_settings(shorter, Pattern::Window), {}, at::kFloat);
  const BenchRival rival = make_rival(shorter, input, none);
  RivalTimes out;
  std::map<std::string, double> ms;
  check_answer(input, *rival.attends, rival.run(ms));
  for (const auto& [stage, time] : ms) out.samples[stage].ms.push_back(time);
  const double longer = static_cast<double>(o.tokens) / static_cast<double>(kLongestDense);
  out.scale = longer * longer, out.flops = rival.flops;
  return out;
}

void print_case(const BenchOptions& o, const StageSamples& ours, const RivalTimes* rival, double share_of_peak) {
  std::printf("attention: %s\n", attended_text(o).c_str());
  const auto line = [](const char* who, const std::string& stage, double ms, double spread) {
    std::printf("  %-9s %-9s %12.2f ms  spread %.0f %%\n", who, stage.c_str(), ms, spread * 100);
  };
  for (const char* stage : {"scan", "draw", "lists", "forward", "backward", "total"})
    line("smartbird", stage, ours.at(stage).median(), ours.at(stage).spread());
  if (rival == nullptr) return;
  for (const char* stage : {"forward", "backward", "total"})
    line(o.rival.c_str(), stage, rival->samples.at(stage).median() * rival->scale, rival->samples.at(stage).spread());
  if (rival->scale != 1)
    std::printf("  %s was measured once at %lld tokens and scaled by %g\n", o.rival.c_str(),
                static_cast<long long>(kLongestDense), rival->scale);
  std::printf("  ratio     %.2f (%s total / smartbird total); %s runs at %.0f %% of the FMA ceiling\n",
              rival->samples.at("total").median() * rival->scale / ours.at("total").median(), o.rival.c_str(),
              o.rival.c_str(), share_of_peak * 100);
}

}  // namespace

nlohmann::json bench_attention(const BenchOptions& o) {
  const Ceilings ceilings = measure_ceilings(o.threads, o.tokens * o.heads, 2 * o.head_width);
  BenchInput input(o);
  const AttentionSettings settings = attention_settings(o, Pattern::Sparse);
  const Plan plan = make_plan(input.context(), settings, input.scores, at::kFloat);
  std::map<std::string, double> ms;
  check_answer(input, plan, run_along(input, plan, ms));

  nlohmann::json out = to_json(o);
  out["ceilings"] = to_json(ceilings);
  out["attended_pairs"] = attended_pairs(plan), out["scan_pairs"] = plan.stats.scan_pairs;
  std::vector<Candidate> candidates{[&] { return run_ours(input, settings); }};
  const bool dense = o.rival == "sdpa" || o.rival == "dense", scaled = dense && o.tokens > kLongestDense;
  BenchRival rival;
  RivalTimes times;
  if (scaled) {
    times = time_scaled(o);
  } else if (o.rival != "none") {
    rival = make_rival(o, input, plan);
    check_answer(input, *rival.attends, rival.run(ms));
    candidates.emplace_back([&] {
      std::map<std::string, double> taken;
      const BenchAnswer answer = rival.run(taken);
      return taken;
    });
  }
  const std::vector<StageSamples> samples = take_turns(candidates, o.repeats, o.seconds);
  if (!scaled && o.rival != "none") times.samples = samples[1], times.flops = rival.flops;

  const StageSamples& ours = samples[0];
  out["ours_ms"] = medians(ours), out["repeats"] = ours.at("total").ms.size();
  out["spread"]["ours"] = ours.at("total").spread();
  double share_of_peak = 0;
  if (o.rival != "none") {
    const double measured = times.samples.at("total").median();
    share_of_peak = times.flops / (measured * 1e-3) * 1e-9 / ceilings.fma_gflops_all;
    std::map<std::string, double> rival_ms = medians(times.samples);
    for (auto& [stage, time] : rival_ms) time *= times.scale;
    out["rival_ms"] = rival_ms, out["rival_share_of_peak"] = share_of_peak;
    out["ratio"] = rival_ms["total"] / ours.at("total").median();
    out["spread"]["rival"] = times.samples.at("total").spread();
    if (scaled) out["rival_measured_at_tokens"] = kLongestDense, out["rival_scaled_by"] = times.scale;
  }
  print_case(o, ours, o.rival == "none" ? nullptr : &times, share_of_peak);
  return nlohmann::json::array({out});
}

}  // namespace smartbird
