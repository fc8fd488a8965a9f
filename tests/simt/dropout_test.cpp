// Law: dropout on a GPU has the bits of the CPU's, also at rates that numbers of 32 bits meet exactly.
#include "kernels/dropout.h"

#include <gtest/gtest.h>

#include "device_array.h"

namespace smartbird::kernels {
namespace {

using device_test::DeviceArray;

void expect_the_cpus_bits(double rate, int64_t rows, int64_t width) {
  const Dropout options{.rate = rate, .key = {7, 11}, .place = 3};
  std::vector<int64_t> sample, position;
  for (int64_t row = 0; row < rows; ++row)
    sample.push_back(row % 3 == 0 ? (int64_t{5} << 32) + row : row), position.push_back(13 * row);
  std::vector<float> want(static_cast<size_t>(rows * width));
  dropout_factors<float>(options, sample.data(), position.data(), rows, width, want.data());
  DeviceArray<int64_t> samples(sample), positions(position);
  DeviceArray<float> got(want.size(), -1.0F);
  dropout_factors(Stream{}, options, samples.data(), positions.data(), rows, width, got.data());
  EXPECT_EQ(got.values(), want) << "rate " << rate << ", " << rows << " x " << width;
}

TEST(Dropout, HasTheCpusBits) {
  for (const int64_t rows : {0, 1, 5})
    for (const int64_t width : {1, 4, 7, 300}) expect_the_cpus_bits(0.3, rows, width);
}

TEST(Dropout, OfARateAtANumber) {
  // The first row's own numbers as rates: each lies on the border.
  const Dropout options{.key = {7, 11}, .place = 3};
  for (const uint32_t number : dropout_numbers(options, int64_t{5} << 32, 0, 0)) {
    expect_the_cpus_bits(uniform(number), 2, 8);
    expect_the_cpus_bits(std::nextafter(uniform(number), 1.0), 2, 8);
  }
  expect_the_cpus_bits(0x1p-33, 2, 8);
  expect_the_cpus_bits(1 - 0x1p-33, 2, 8);
}

}  // namespace
}  // namespace smartbird::kernels
