// Philox4x32-10 against the known answers of Random123 (kat_vectors), and the derived uniforms.
#include "core/philox.h"

#include <gtest/gtest.h>

#include "kernels/draw.h"
#include "kernels/draw_parts.h"

namespace smartbird {
namespace {

TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, DrawBitsAreTheUniformsOfDraw) {
  const kernels::DrawOptions options{
      .mode = kernels::DrawMode::Poisson, .picks = 1, .floor = 0, .heads = 3, .layer = 5, .key = {7, 9}};
  kernels::ScanBlock block;
  for (uint64_t sample : {uint64_t{3}, (uint64_t{5} << 32) + 3}) {
    block.sample = sample, block.group = 11;
    uint32_t bits[kernels::kLeafKeys];
    kernels::draw_bits(options, block, 2, 256, bits);
    for (int64_t j = 0; j < kernels::kLeafKeys; ++j)
      EXPECT_EQ(uniform(bits[j]), kernels::draw_uniform(options.key, sample, 11, 5, 2, 256 + j));
  }
}

}  // namespace
}  // namespace smartbird
