// Pass A on the CPU.
#include "kernels/sketch_scan.h"

#include "kernels/scan_pieces.h"

namespace smartbird::kernels {
namespace {

int64_t range_size(std::span<const int64_t> excluded, int64_t begin, int64_t end) {
  if (begin >= end) return 0;
  return end - begin -
         (std::lower_bound(excluded.begin(), excluded.end(), end) -
          std::lower_bound(excluded.begin(), excluded.end(), begin));
}

// Looks at nothing.
struct NoLook {
  template <class T>
  void add(int64_t /*begin*/, int64_t /*end*/, T* /*s*/, const LeafSum* /*sums*/) {}
  void end(double* /*lse*/) {}
};

}  // namespace

int64_t domain_size(const ScanBlock& block, std::span<const int64_t> excluded) {
  return range_size(excluded, block.left_begin, block.left_end) +
         range_size(excluded, std::max(block.right_begin, block.left_end), block.right_end);
}

template <class T>
void sketch_scan(const ScanInput<T>& input, double* lse) {
  scan_pieces(input, lse, [](const Piece&) { return NoLook{}; });
}

template void sketch_scan<float>(const ScanInput<float>&, double*);
template void sketch_scan<double>(const ScanInput<double>&, double*);

}  // namespace smartbird::kernels
