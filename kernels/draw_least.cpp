// The floor of a block's inclusion probabilities, and the memory of a draw.
#include <cmath>
#include <limits>

#include "kernels/draw_device.h"

namespace smartbird::kernels {

float draw_least(const DrawOptions& options, int64_t domain) {
  if (domain <= options.picks) return std::numeric_limits<float>::infinity();
  return static_cast<float>(
      std::log2(static_cast<double>(options.picks) * options.floor / static_cast<double>(domain)));
}

int64_t draw_chunks(const DrawOptions& options, int64_t rows, int64_t tiles) {
  const double expected = static_cast<double>(rows) * options.heads * static_cast<double>(options.picks);
  return tiles * kDrawWarps + static_cast<int64_t>(1.5 * expected / kNotesOfChunk) + 64;
}

}  // namespace smartbird::kernels
