// Keeps the scores that may be cut while all are summed.
#include "kernels/filled_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/certain_keys.h"
#include "kernels/scan_pieces.h"

namespace smartbird::kernels {
namespace {

double budget_of(const DrawOptions& options) { return static_cast<double>(options.picks) * (1 - options.floor); }

// Of one piece; domain by block of the call.
template <class T>
class Filling {
 public:
  Filling(const Piece& piece, const int64_t* domain, int64_t picks, double budget)
      : piece_(piece),
        domain_(domain),
        picks_(picks),
        budget_(budget),
        longest_(*std::max_element(domain + piece.begin, domain + piece.end)),
        certain_(longest_ > picks ? piece.end - piece.begin : 0, budget, longest_) {
    for (int64_t i = piece.begin; i < piece.end && longest_ > picks; ++i)
      if (!draws(i)) certain_.leave_out(i - piece.begin);
  }

  void add(int64_t begin, int64_t end, T* s, const LeafSum* sums) {
    if (longest_ > picks_) certain_.add(begin - piece_.begin, end - begin, s, sums);
  }

  void end(double* lse) {
    std::vector<double> logs;
    for (int64_t i = piece_.begin; i < piece_.end; ++i) {
      if (!draws(i)) continue;
      const int64_t row = i - piece_.begin;
      logs.clear();
      for (T score : certain_.of(row)) logs.push_back(static_cast<double>(score) * kLn2);
      lse[i] -= filled_by(logs, log_of(certain_.rest(row)), lse[i], budget_);
    }
  }

 private:
  [[nodiscard]] bool draws(int64_t i) const { return domain_[i] > picks_; }

  const Piece& piece_;
  const int64_t* domain_;
  int64_t picks_;
  double budget_;
  int64_t longest_;
  CertainKeys<T> certain_;  // of no row where none draws
};

// log(exp(a) + exp(b)).
double log_add(double a, double b) {
  const auto [less, more] = std::minmax(a, b);
  return less == more ? more + std::log(2.0) : more + std::log1p(std::exp(less - more));
}

}  // namespace

double filled_by(std::span<double> largest, double others, double all, double budget) {
  if (largest.empty()) return 0;
  std::sort(largest.begin(), largest.end());
  if (!(largest.back() + std::log(budget) >= all)) return 0;  // nothing is cut, or it is no number
  double by = -std::numeric_limits<double>::infinity(), left = others;
  for (size_t k = 0; k < largest.size(); left = log_add(left, largest[k++])) {  // all but the m likeliest
    const double m = static_cast<double>(largest.size() - k);
    if (m >= budget || left == -std::numeric_limits<double>::infinity()) continue;
    const double with = std::log((budget - m) / budget) - left + all;
    if (!(with > by)) break;  // it grows up to the last certain key, and falls from there
    by = with;
  }
  return std::max(0.0, by);
}

template <class T>
void filled_scan(const ScanInput<T>& input, const DrawOptions& options, double* lse) {
  const double budget = budget_of(options);
  if (budget <= 1) return sketch_scan<T>(input, lse);  // no key can be certain
  std::vector<int64_t> domain;
  for (const ScanBlock& block : input.blocks) domain.push_back(domain_size(block, input.excluded));
  scan_pieces(input, lse, [&](const Piece& piece) { return Filling<T>(piece, domain.data(), options.picks, budget); });
}

template <class T>
void scan_for_draw(const ScanInput<T>& input, const DrawOptions& options, double* lse) {
  if (options.fill)
    filled_scan<T>(input, options, lse);
  else
    sketch_scan<T>(input, lse);
}

template <class T>
int64_t filling_bytes(const DrawOptions& options, int64_t longest) {
  if (!options.fill || longest <= options.picks || budget_of(options) <= 1) return 0;
  return CertainKeys<T>::bytes(kScanBlocks, budget_of(options), longest);
}

template int64_t filling_bytes<float>(const DrawOptions&, int64_t);
template int64_t filling_bytes<double>(const DrawOptions&, int64_t);
template void scan_for_draw<float>(const ScanInput<float>&, const DrawOptions&, double*);
template void scan_for_draw<double>(const ScanInput<double>&, const DrawOptions&, double*);
template void filled_scan<float>(const ScanInput<float>&, const DrawOptions&, double*);
template void filled_scan<double>(const ScanInput<double>&, const DrawOptions&, double*);

}  // namespace smartbird::kernels
