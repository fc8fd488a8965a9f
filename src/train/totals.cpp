// Reduction of a step's sums and of the bytes that were sent.
#include "train/totals.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "core/error.h"

namespace smartbird {
namespace {

// Every name that some rank has: replicas may have taken other exchange plans. The names come back with 0.
std::map<std::string, int64_t> names_of_everyone(Communicator& everyone, const std::map<std::string, int64_t>& mine) {
  std::string text;
  for (const auto& [what, bytes] : mine) text += what + "\n";
  const auto sizes = everyone.gather_value("statistics", static_cast<int64_t>(text.size()));
  std::string all(static_cast<size_t>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0})), '\0');
  everyone.all_gather("statistics", text.data(), all.data(), sizes, DType::u8);
  std::map<std::string, int64_t> out;
  std::istringstream lines(all);
  for (std::string what; std::getline(lines, what);) out[what] = 0;
  return out;
}

std::map<std::string, int64_t> sent_by_everyone(const World& world) {
  std::map<std::string, int64_t> mine;
  for (const Communicator* group : world.groups())
    for (const auto& [what, bytes] : group->sent_bytes()) mine[what] += bytes;
  std::map<std::string, int64_t> sent = names_of_everyone(world.everyone(), mine);
  for (const auto& [what, bytes] : mine) sent[what] = bytes;
  std::vector<int64_t> values;
  for (const auto& [what, bytes] : sent) values.push_back(bytes);
  world.everyone().all_reduce("statistics", values.data(), static_cast<int64_t>(values.size()), DType::i64);
  size_t i = 0;
  for (auto& [what, bytes] : sent) bytes = values[i++];
  return sent;
}

ExchangeTime time_of_slowest(const World& world) {
  double ms[] = {0, 0};
  for (const Communicator* group : world.groups())
    ms[0] += group->exchange_time().exposed_ms, ms[1] += group->exchange_time().hidden_ms;
  world.everyone().all_reduce("statistics", ms, std::size(ms), DType::f64, ReduceOp::Max);
  return {ms[0], ms[1]};
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

double ratio(double a, double b) { return b > 0 ? a / b : 0.0; }

}  // namespace

void Totals::add(const Forward& forward, const Stream& stream) {
  loss += forward.task_loss.item<double>();
  correct += static_cast<double>(forward.correct), counted += static_cast<double>(forward.counted);
  bytes += static_cast<double>(stream.target_bytes);
  if (forward.sketch_loss.defined()) sketch_loss += forward.sketch_loss.item<double>();
  mass.add(forward.probe_mass);
  stats.add(forward.stats);
}

void Totals::reduce(const World& world) {
  Communicator& all = world.everyone();
  int64_t most[] = {stats.scan_pairs, stats.sent_rows, static_cast<int64_t>(stats.picked_by_head.size())};
  all.all_reduce("statistics", most, std::size(most), DType::i64, ReduceOp::Max);
  double sums[] = {loss,     correct,     counted,     bytes,        sketch_loss,
                   mass.all, mass.domain, mass.picked, mass.uniform, mass.target};
  all.all_reduce("statistics", sums, std::size(sums), DType::f64);
  loss = sums[0], correct = sums[1], counted = sums[2], bytes = sums[3], sketch_loss = sums[4];
  mass = {sums[5], sums[6], sums[7], sums[8], sums[9]};
  const int64_t low = static_cast<int64_t>(stats.picks_hash & 0xFFFFFFFFu),
                high = static_cast<int64_t>(stats.picks_hash >> 32);
  std::vector<int64_t> counts{
      low, high, stats.picked_remote, stats.remote, stats.fetched_rows, stats.sent_rows, stats.scan_pairs};
  counts.insert(counts.end(), stats.by_exchange.begin(), stats.by_exchange.end());
  stats.picked_by_head.resize(static_cast<size_t>(most[2]), 0);  // a replica without samples has none
  counts.insert(counts.end(), stats.picked_by_head.begin(), stats.picked_by_head.end());
  all.all_reduce("statistics", counts.data(), static_cast<int64_t>(counts.size()), DType::i64);
  stats.picks_hash = static_cast<uint64_t>(counts[0]) + (static_cast<uint64_t>(counts[1]) << 32);
  stats.picked_remote = counts[2], stats.remote = counts[3], stats.fetched_rows = counts[4];
  stats.sent_rows = counts[5], stats.scan_pairs = counts[6];
  auto next = counts.begin() + 7;
  for (int64_t& plans : stats.by_exchange) plans = *next++;
  std::copy(next, counts.end(), stats.picked_by_head.begin());
  const auto over_mean = [&](int64_t largest, int64_t sum) {
    return sum > 0 ? static_cast<double>(largest) * all.size() / static_cast<double>(sum) : 1.0;
  };
  imbalance = over_mean(most[0], stats.scan_pairs), sent_rows_imbalance = over_mean(most[1], stats.sent_rows);
}

StepRecord Totals::record(const World& world, double targets) const {
  StepRecord out;
  out.loss = ratio(loss, targets);
  out.bits_per_byte = ratio(loss / std::log(2.0), bytes);
  out.sketch_loss = ratio(sketch_loss, mass.target);
  out.coverage = ratio(mass.all - mass.domain + mass.picked, mass.all);
  out.coverage_domain = ratio(mass.picked, mass.domain);
  out.coverage_uniform = ratio(mass.uniform, mass.domain);
  out.phi = ratio(static_cast<double>(stats.picked_remote), static_cast<double>(stats.remote));
  out.rows = stats.fetched_rows;
  out.picks_hash = stats.picks_hash;
  out.imbalance = imbalance, out.sent_rows_imbalance = sent_rows_imbalance;
  for (size_t i = 0; i < stats.by_exchange.size(); ++i)
    if (stats.by_exchange[i] > 0) out.plan = join(out.plan, out.plan.empty() ? "" : "+", kExchangePlanNames[i]);
  const ExchangeTime time = time_of_slowest(world);
  out.exchange_exposed_ms = time.exposed_ms, out.exchange_hidden_ms = time.hidden_ms;
  out.sent_bytes = sent_by_everyone(world);
  out.peak_memory_bytes = world.everyone().reduce_value("statistics", peak_memory_bytes(), ReduceOp::Max);
  return out;
}

std::vector<std::vector<double>> Totals::phi_by_layer_head(const ModelShape& shape) const {
  const size_t heads = static_cast<size_t>(shape.kv_heads);
  const double remote = ratio(static_cast<double>(stats.remote), static_cast<double>(shape.draws().size() * heads));
  std::vector<std::vector<double>> out(static_cast<size_t>(shape.layers));
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const size_t first = static_cast<size_t>(shape.draw_of(layer)) * heads;
    if (shape.pattern[static_cast<size_t>(layer)] != Pattern::Sparse || first + heads > stats.picked_by_head.size())
      continue;
    for (size_t head = first; head < first + heads; ++head)
      out[static_cast<size_t>(layer)].push_back(ratio(static_cast<double>(stats.picked_by_head[head]), remote));
  }
  return out;
}

void clear_counters(const World& world) {
  for (Communicator* group : world.groups()) group->clear_counters();
}

}  // namespace smartbird
