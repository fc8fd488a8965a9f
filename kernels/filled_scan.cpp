// Keeps the largest scores of each block as top-k does, while they are summed.
#include "kernels/filled_scan.h"

#include <algorithm>

#include "kernels/domain_bits.h"
#include "kernels/largest.h"
#include "kernels/scan_pieces.h"

namespace smartbird::kernels {
namespace {

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
      for (size_t k = 0; k < p.size(); ++k)
        p[k] = std::exp2(static_cast<double>(largest_.score(i - piece_.begin, k)) - lse[i] * kLog2E);
      lse[i] -= filled_by(p, budget_);
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

double filled_by(std::span<double> largest, double budget) {
  double certain = 0, left = 1;
  std::make_heap(largest.begin(), largest.end());
  for (auto end = largest.end(); end != largest.begin(); --end) {
    const double p = largest.front();
    if (budget - certain <= 1 || !((budget - certain) * p >= left)) break;  // or p is not a number
    certain += 1, left = std::max(left - p, kLeastLeft);
    std::pop_heap(largest.begin(), end);
  }
  return certain > 0 ? std::log((budget - certain) / (budget * left)) : 0;
}

template <class T>
void filled_scan(const ScanInput<T>& input, const DrawOptions& options, double* lse) {
  const double budget = static_cast<double>(options.picks) * (1 - options.floor);
  if (budget <= 1) return sketch_scan<T>(input, lse);  // no key can be certain
  std::vector<int64_t> domain;
  for (const ScanBlock& block : input.blocks) domain.push_back(domain_size(block, input.excluded));
  scan_pieces(input, lse,
              [&](const Piece& piece) { return Filling<T>(input, piece, domain.data(), options.picks, budget); });
}

template void filled_scan<float>(const ScanInput<float>&, const DrawOptions&, double*);
template void filled_scan<double>(const ScanInput<double>&, const DrawOptions&, double*);

}  // namespace smartbird::kernels
