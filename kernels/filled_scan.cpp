// Keeps the largest scores of each block as top-k does, while they are summed.
#include "kernels/filled_scan.h"

#include <algorithm>

#include "kernels/domain_bits.h"
#include "kernels/largest.h"
#include "kernels/scan_pieces.h"

namespace smartbird::kernels {
namespace {

double budget_of(const DrawOptions& options) { return static_cast<double>(options.picks) * (1 - options.floor); }

// By which 1 minus a sum of probabilities may err: rounded scores and their sum, of all.
template <class T>
constexpr double kSumError = sizeof(T) == 4 ? 1e-6 : 1e-14;

// Of one piece; domain by block of the call.
template <class T>
class Filling {
 public:
  Filling(const ScanInput<T>& input, const Piece& piece, const int64_t* domain, int64_t picks, double budget)
      : input_(input),
        piece_(piece),
        domain_(domain),
        picks_(picks),
        budget_(budget),
        longest_(*std::max_element(domain + piece.begin, domain + piece.end)),
        largest_(longest_ > picks ? piece.end - piece.begin : 0, picks, longest_) {}

  void add(int64_t begin, int64_t end, int64_t first, const T* s) {
    if (longest_ <= picks_) return;
    uint64_t bits[2 * kScoreRows];
    largest_.add(begin - piece_.begin, {end - begin, s, first,
                                        allowed_bits(
                                            input_, begin, end, first, [&](int64_t i) { return draws(i); }, bits)});
  }

  void end(double* lse) {
    std::vector<double> p;
    for (int64_t i = piece_.begin; i < piece_.end; ++i) {
      if (!draws(i)) continue;
      p.resize(largest_.of(i - piece_.begin).size());
      double sum = 0;
      for (size_t k = 0; k < p.size(); ++k)
        sum += p[k] = std::exp2(static_cast<double>(largest_.score(i - piece_.begin, k)) - lse[i] * kLog2E);
      const double least = *std::min_element(p.begin(), p.end()) * static_cast<double>(domain_[i] - picks_);
      lse[i] -= filled_by(p, std::min(least, std::max(0.0, 1 - sum) + kSumError<T>), budget_);
    }
  }

 private:
  [[nodiscard]] bool draws(int64_t i) const { return domain_[i] > picks_; }

  const ScanInput<T>& input_;
  const Piece& piece_;
  const int64_t* domain_;
  int64_t picks_;
  double budget_;
  int64_t longest_;
  LargestOfRows<T> largest_;
};

}  // namespace

double filled_by(std::span<double> largest, double others, double budget) {
  if (largest.empty() || !(*std::max_element(largest.begin(), largest.end()) * budget >= 1))
    return 0;  // or not a number
  std::sort(largest.begin(), largest.end());
  double factor = budget, left = others;
  for (size_t k = 0; k + 1 < largest.size(); ++k) {  // all but the m likeliest
    left += largest[k];
    const double m = static_cast<double>(largest.size() - k - 1);
    if (m < budget && left > 0) factor = std::max(factor, (budget - m) / left);
  }
  return std::log(factor / budget);
}

template <class T>
void filled_scan(const ScanInput<T>& input, const DrawOptions& options, double* lse) {
  const double budget = budget_of(options);
  if (budget <= 1) return sketch_scan<T>(input, lse);  // no key can be certain
  std::vector<int64_t> domain;
  for (const ScanBlock& block : input.blocks) domain.push_back(domain_size(block, input.excluded));
  scan_pieces(input, lse,
              [&](const Piece& piece) { return Filling<T>(input, piece, domain.data(), options.picks, budget); });
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
  return LargestOfRows<T>::bytes(kScanBlocks, options.picks, longest);
}

template int64_t filling_bytes<float>(const DrawOptions&, int64_t);
template int64_t filling_bytes<double>(const DrawOptions&, int64_t);
template void scan_for_draw<float>(const ScanInput<float>&, const DrawOptions&, double*);
template void scan_for_draw<double>(const ScanInput<double>&, const DrawOptions&, double*);
template void filled_scan<float>(const ScanInput<float>&, const DrawOptions&, double*);
template void filled_scan<double>(const ScanInput<double>&, const DrawOptions&, double*);

}  // namespace smartbird::kernels
