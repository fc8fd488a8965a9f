// Arrays of the kernels: aligned, and honest about memory that is not there.
#include "kernels/aligned_array.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace smartbird::kernels {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool kNewThrows = false;
#else
constexpr bool kNewThrows = true;
#endif

TEST(AlignedArray, StartsAtACacheLinePair) {
  for (size_t n : {0, 1, 3, 1000}) {
    const auto array = aligned_array<float>(n);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(array.get()) % 128, 0u) << n;
  }
}

TEST(AlignedArray, ThrowsWhatNewThrows) {
  if (!kNewThrows) GTEST_SKIP() << "AddressSanitizer ends the process where new should throw";
  EXPECT_THROW((void)aligned_array<double>(size_t{1} << 48), std::bad_alloc);
  EXPECT_THROW((void)aligned_array<double>(SIZE_MAX / 4), std::bad_alloc);  // so many bytes have no number
}

TEST(AlignedArray, BufferThatCouldNotGrowHoldsNothing) {
  if (!kNewThrows) GTEST_SKIP() << "AddressSanitizer ends the process where new should throw";
  AlignedBuffer<double> buffer;
  buffer.reserve(8)[7] = 1;
  EXPECT_THROW(buffer.reserve(size_t{1} << 48), std::bad_alloc);
  EXPECT_EQ(buffer.data(), nullptr);
  double* again = buffer.reserve(size_t{1} << 10);  // not believed to be there already
  ASSERT_NE(again, nullptr);
  again[(1 << 10) - 1] = 1;
}

}  // namespace
}  // namespace smartbird::kernels
