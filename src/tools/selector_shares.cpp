// Shares of attention mass by sorted keys.
#include "tools/selector_shares.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "kernels/filled_scan.h"

namespace smartbird {
namespace {

std::vector<uint32_t> best_first(std::span<const double> values) {
  std::vector<uint32_t> keys(values.size());
  std::iota(keys.begin(), keys.end(), 0u);
  std::stable_sort(keys.begin(), keys.end(), [&](uint32_t x, uint32_t y) { return values[x] > values[y]; });
  return keys;
}

}  // namespace

void Shares::add(const Shares& other) {
  sketch += other.sketch, topk += other.topk;
  uniform += other.uniform, oracle += other.oracle, keys += other.keys;
}

BlockShares::BlockShares(std::span<const double> a, std::span<const double> s, double floor, bool fill)
    : a_(a),
      floor_(floor),
      mass_(std::accumulate(a.begin(), a.end(), 0.0)),
      fill_(fill),
      by_score_(best_first(s)),
      by_mass_(best_first(a)) {
  SB_CHECK(a.size() == s.size(), Shape, "shares: ", a.size(), " keys have ", s.size(), " scores");
  if (s.empty()) return;
  const double largest = s[by_score_.front()];
  double sum = 0;
  for (double score : s) sum += std::exp(score - largest);
  for (double score : s) log_p_.push_back(score - largest - std::log(sum));
}

std::vector<double> BlockShares::inclusion(int64_t picks) const {
  if (static_cast<size_t>(picks) >= a_.size()) return std::vector<double>(a_.size(), 1.0);
  const double k = static_cast<double>(picks), least = k * floor_ / static_cast<double>(a_.size());
  const double budget = k * (1 - floor_);
  double log_factor = std::log(budget);
  if (fill_ && budget > 0) {
    std::vector<double> largest;
    const double first = log_p_[by_score_[static_cast<size_t>(picks)]];  // that cannot be certain
    double others = 0;
    for (size_t i = 0; i < by_score_.size(); ++i)
      if (i < static_cast<size_t>(picks))
        largest.push_back(log_p_[by_score_[i]]);
      else
        others += std::exp(log_p_[by_score_[i]] - first);
    log_factor += kernels::filled_by(largest, first + std::log(others), 0, budget);
  }
  std::vector<double> pi;
  for (double log_p : log_p_) pi.push_back(std::max(std::exp(std::min(0.0, log_factor + log_p)), least));
  return pi;
}

Shares BlockShares::caught(int64_t picks) const {
  const size_t size = a_.size(), k = std::min(size, static_cast<size_t>(picks));
  Shares out;
  const std::vector<double> pi = inclusion(picks);
  for (size_t key = 0; key < size; ++key) out.sketch += a_[key] * pi[key], out.keys += pi[key];
  for (size_t i = 0; i < k; ++i) out.topk += a_[by_score_[i]], out.oracle += a_[by_mass_[i]];
  if (size > 0) out.uniform = mass_ * static_cast<double>(k) / static_cast<double>(size);
  return out;
}

double BlockShares::recall(int64_t picks) const {
  const size_t k = std::min(a_.size(), static_cast<size_t>(picks));
  const std::vector<double> pi = inclusion(picks);
  double found = 0;
  for (size_t i = 0; i < k; ++i) found += pi[by_mass_[i]];
  return k > 0 ? found / static_cast<double>(k) : 0;
}

double BlockShares::recall_of_topk(int64_t picks) const {
  const size_t k = std::min(a_.size(), static_cast<size_t>(picks));
  std::vector<uint32_t> wanted(by_mass_.begin(), by_mass_.begin() + static_cast<int64_t>(k)),
      has(by_score_.begin(), by_score_.begin() + static_cast<int64_t>(k)), both;
  std::sort(wanted.begin(), wanted.end()), std::sort(has.begin(), has.end());
  std::set_intersection(wanted.begin(), wanted.end(), has.begin(), has.end(), std::back_inserter(both));
  return k > 0 ? static_cast<double>(both.size()) / static_cast<double>(k) : 0;
}

double effective_keys(std::span<const double> a) {
  const double mass = std::accumulate(a.begin(), a.end(), 0.0);
  if (mass <= 0) return 0;
  double entropy = 0;
  for (double x : a)
    if (x > 0) entropy -= x / mass * std::log(x / mass);
  return std::exp(entropy);
}

}  // namespace smartbird
