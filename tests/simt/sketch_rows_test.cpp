// Law: sketch rows on a GPU have the CPU's bits, whatever rows are beside them.
#include "kernels/sketch_rows.h"

#include <gtest/gtest.h>

#include <random>

#include "device_array.h"
#include "kernels/row_sums.h"

namespace smartbird::kernels {
namespace {

using device_test::DeviceArray;

std::vector<float> numbers(int64_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = normal(random);
  return out;
}

TEST(SketchRows, LinearIsTheCpus) {
  std::mt19937 random(1);
  for (const int64_t rows : {0, 1, 63, 64, 130})
    for (const auto& [in, out] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {16, 32}, {17, 33}, {50, 64}}) {
      const std::vector<float> x = numbers(rows * in, random), w = numbers(out * in, random);
      std::vector<float> want(static_cast<size_t>(rows * out));
      row_linear<float>(x.data(), w.data(), rows, in, out, want.data());
      DeviceArray<float> there(x), weight(w), y(want.size(), 7.0F);
      row_linear(Stream{}, there.data(), weight.data(), rows, in, out, y.data());
      EXPECT_EQ(y.values(), want) << rows << " " << in << " " << out;
    }
}

TEST(SketchRows, NormIsTheCpus) {
  std::mt19937 random(2);
  for (const int64_t rows : {0, 1, 128, 130})
    for (const int64_t width : {1, 16, 33}) {
      const std::vector<float> x = numbers(rows * width, random), w = numbers(width, random);
      std::vector<float> want(x.size()), want_inverse(static_cast<size_t>(rows));
      row_norm<float>(x.data(), w.data(), 1e-5, rows, width, want.data(), want_inverse.data());
      DeviceArray<float> there(x), weight(w), y(x.size(), 7.0F), inverse(want_inverse.size(), 7.0F);
      row_norm(Stream{}, there.data(), weight.data(), 1e-5, rows, width, y.data(), inverse.data());
      EXPECT_EQ(y.values(), want) << rows << " " << width;
      EXPECT_EQ(inverse.values(), want_inverse) << rows << " " << width;
    }
}

TEST(SketchRows, MeansAreTheCpus) {
  std::mt19937 random(3);
  const std::vector<float> x = numbers(9 * 5, random);
  const std::vector<int64_t> start{0, 3, 3, 4, 8}, row{8, 0, 3, 3, 1, 2, 1, 7};  // one list is empty
  std::vector<float> want(4 * 5);
  mean_of_rows<float>(start.data(), row.data(), x.data(), 4, 5, want.data());
  DeviceArray<int64_t> starts(start), rows(row);
  DeviceArray<float> there(x), out(want.size(), 7.0F);
  mean_of_rows(Stream{}, starts.data(), rows.data(), there.data(), 4, 5, out.data());
  EXPECT_EQ(out.values(), want);
}

}  // namespace
}  // namespace smartbird::kernels
