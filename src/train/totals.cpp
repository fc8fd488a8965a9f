// Reduction of a step's sums and of the bytes that were sent.
#include "train/totals.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace smartbird {
namespace {

// Every rank calls the same operations, so all ranks know the same names.
std::map<std::string, int64_t> sent_by_everyone(const World& world) {
  std::map<std::string, int64_t> sent = world.everyone().sent_bytes();
  for (const Communicator* group : {&world.sequence(), &world.across()})
    for (const auto& [what, bytes] : group->sent_bytes()) sent[what] += bytes;
  std::vector<int64_t> values;
  for (const auto& [what, bytes] : sent) values.push_back(bytes);
  world.everyone().all_reduce("statistics", values.data(), static_cast<int64_t>(values.size()), DType::i64);
  size_t i = 0;
  for (auto& [what, bytes] : sent) bytes = values[i++];
  return sent;
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
  mass.all += forward.probe_mass.all, mass.domain += forward.probe_mass.domain;
  mass.picked += forward.probe_mass.picked, mass.uniform += forward.probe_mass.uniform;
  stats.picks_hash += forward.stats.picks_hash;
  stats.picked_remote += forward.stats.picked_remote, stats.remote += forward.stats.remote;
  stats.fetched_rows += forward.stats.fetched_rows, stats.scan_pairs += forward.stats.scan_pairs;
}

void Totals::reduce(const World& world) {
  Communicator& all = world.everyone();
  const double most = all.reduce_value("statistics", static_cast<double>(stats.scan_pairs), ReduceOp::Max);
  double sums[] = {loss, correct, counted, bytes, sketch_loss, mass.all, mass.domain, mass.picked, mass.uniform};
  all.all_reduce("statistics", sums, std::size(sums), DType::f64);
  loss = sums[0], correct = sums[1], counted = sums[2], bytes = sums[3], sketch_loss = sums[4];
  mass = {sums[5], sums[6], sums[7], sums[8]};
  const int64_t low = static_cast<int64_t>(stats.picks_hash & 0xFFFFFFFFu),
                high = static_cast<int64_t>(stats.picks_hash >> 32);
  int64_t counts[] = {low, high, stats.picked_remote, stats.remote, stats.fetched_rows, stats.scan_pairs};
  all.all_reduce("statistics", counts, std::size(counts), DType::i64);
  stats = {static_cast<uint64_t>(counts[0]) + (static_cast<uint64_t>(counts[1]) << 32), counts[2], counts[3], counts[4],
           counts[5]};
  imbalance = stats.scan_pairs > 0 ? most * all.size() / static_cast<double>(stats.scan_pairs) : 1.0;
}

StepRecord Totals::record(const World& world, double targets) const {
  StepRecord out;
  out.loss = ratio(loss, targets);
  out.bits_per_byte = ratio(loss / std::log(2.0), bytes);
  out.sketch_loss = ratio(sketch_loss, mass.domain);
  out.coverage = ratio(mass.all - mass.domain + mass.picked, mass.all);
  out.coverage_domain = ratio(mass.picked, mass.domain);
  out.coverage_uniform = ratio(mass.uniform, mass.domain);
  out.phi = ratio(static_cast<double>(stats.picked_remote), static_cast<double>(stats.remote));
  out.rows = stats.fetched_rows;
  out.picks_hash = stats.picks_hash;
  out.imbalance = imbalance;
  out.sent_bytes = sent_by_everyone(world);
  out.peak_memory_bytes = world.everyone().reduce_value("statistics", peak_memory_bytes(), ReduceOp::Max);
  return out;
}

void clear_sent_bytes(const World& world) {
  world.everyone().clear_sent_bytes();
  world.sequence().clear_sent_bytes();
  world.across().clear_sent_bytes();
}

}  // namespace smartbird
