// Tensors in host memory are the emulator's device memory in these tests.
#include <gtest/gtest.h>

#include "tests/support/emulated/registering_allocator.h"

int main(int argc, char** argv) {
  smartbird::device_test::RegisteringAllocator::install();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
