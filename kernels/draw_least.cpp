// The floor of a block's inclusion probabilities.
#include <cmath>
#include <limits>

#include "kernels/draw_device.h"

namespace smartbird::kernels {

float draw_least(const DrawOptions& options, int64_t domain) {
  if (domain <= options.picks) return std::numeric_limits<float>::infinity();
  return static_cast<float>(
      std::log2(static_cast<double>(options.picks) * options.floor / static_cast<double>(domain)));
}

}  // namespace smartbird::kernels
