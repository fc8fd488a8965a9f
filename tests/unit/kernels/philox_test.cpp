// Philox4x32-10 against the known answers of Random123 (kat_vectors), and the derived uniforms.
#include "core/philox.h"

#include <gtest/gtest.h>

#include "kernels/draw.h"
#include "kernels/draw_parts.h"
#include "kernels/thresholds.h"

namespace smartbird {
namespace {

TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, ThresholdsBoundTheUniformsOfDraw) {
  constexpr int64_t kHeads = 11;  // fills no whole number of fours or eights
  kernels::Thresholds<float> thresholds(kHeads);
  for (uint64_t sample : {uint64_t{3}, (uint64_t{5} << 32) + 3})
    for (int64_t group : {0, 11, 100}) {
      const kernels::ThresholdOf of{{7, 9}, sample, group, 5, 256};
      kernels::fill_thresholds(of, thresholds);
      for (int64_t j = 0; j < kernels::kLeafKeys; ++j) {
        float lowest = 0;
        for (int64_t head = 0; head < kHeads; ++head) {
          const size_t at = kernels::Thresholds<float>::at(head, j);
          const double u = kernels::draw_uniform(of.key, sample, group, 5, static_cast<int>(head), 256 + j);
          EXPECT_LT(thresholds.below[at], std::log2(u));
          EXPECT_GT(thresholds.below[at] + kernels::kThresholdGap, std::log2(u));
          lowest = std::min(lowest, thresholds.below[at]);
          const float exact = static_cast<float>(std::log2(u));
          EXPECT_FALSE(kernels::exceeds_uniform(exact, of, head, j));
          EXPECT_TRUE(kernels::exceeds_uniform(std::nextafter(exact, 1.0f), of, head, j));
        }
        EXPECT_EQ(thresholds.lowest[j], lowest);
      }
    }
}

}  // namespace
}  // namespace smartbird
