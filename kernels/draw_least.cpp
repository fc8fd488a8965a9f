// The floor of a block's inclusion probabilities, and the memory of a draw.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/draw_device.h"
#include "kernels/scan_tiles.h"

namespace smartbird::kernels {

float draw_least(const DrawOptions& options, int64_t domain) {
  if (domain <= options.picks) return std::numeric_limits<float>::infinity();
  return static_cast<float>(
      std::log2(static_cast<double>(options.picks) * options.floor / static_cast<double>(domain)));
}

int64_t draw_capacity(const DrawOptions& options, int64_t domain) {
  constexpr double kTileKeys = static_cast<double>(kSplitLeaves * kLeafKeys), kRows = kTileRows / kDrawWarps;
  const double share = std::min(1.0, kTileKeys / static_cast<double>(std::max<int64_t>(1, domain))),
               expected = kRows * options.heads * static_cast<double>(options.picks) * share;
  return static_cast<int64_t>(2 * expected) + 64;
}

}  // namespace smartbird::kernels
