// Law: the update on a GPU, run by the emulator, has the bits of the CPU's.
#include "kernels/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "device_array.h"

namespace smartbird::kernels {
namespace {

using device_test::DeviceArray;

template <class T>
std::vector<T> random_numbers(std::mt19937& random, size_t count) {
  std::normal_distribution<double> normal;
  std::vector<T> out(count);
  for (T& x : out) x = static_cast<T>(normal(random));
  return out;
}

template <class T>
void expect_adamw_has_the_cpus_bits(int64_t count) {
  std::mt19937 random(static_cast<uint32_t>(count));
  const size_t n = static_cast<size_t>(count);
  const AdamW options{.learning_rate = 1e-2, .decay = 0.1, .grad_scale = 0.3, .step = 3};
  const auto gradient = random_numbers<T>(random, n);
  auto weight = random_numbers<T>(random, n), m = random_numbers<T>(random, n), v = random_numbers<T>(random, n);
  for (T& x : v) x = std::abs(x);
  DeviceArray<T> g(gradient), w(weight), first(m), second(v);
  adamw<T>(Stream{}, options, count, g.data(), w.data(), first.data(), second.data());
  adamw<T>(options, count, gradient.data(), weight.data(), m.data(), v.data());
  EXPECT_EQ(w.values(), weight);
  EXPECT_EQ(first.values(), m);
  EXPECT_EQ(second.values(), v);
}

TEST(AdamW, HasTheCpusBits) {
  for (const int64_t count : {0, 1, 255, 256, 257, 1000}) {
    expect_adamw_has_the_cpus_bits<float>(count);
    expect_adamw_has_the_cpus_bits<double>(count);
  }
}

}  // namespace
}  // namespace smartbird::kernels
