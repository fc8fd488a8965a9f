// How kernels for a GPU round what they store. On the host alone: the function is not one of the host's on a GPU.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/device_numbers.cuh"
#include "tests/simt/elements.h"

namespace smartbird::kernels {
namespace {

// The NaN that a GPU makes, and how numbers are rounded otherwise.
TEST(Store, KeepsNanAndRoundsToEven) {
  const auto stored = [](float x) {
    uint16_t bits = 0;
    put(x, bits);
    return from_bits(bits);
  };
  EXPECT_TRUE(std::isnan(stored(device::float_of(0x7fffffff))));
  EXPECT_TRUE(std::isnan(stored(-device::float_of(0x7f800001))));
  EXPECT_EQ(stored(1.00390625F), 1.0F);  // ties to even
  EXPECT_EQ(stored(1.01171875F), 1.015625F);
}

}  // namespace
}  // namespace smartbird::kernels
