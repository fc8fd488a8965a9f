// The flat tensors: views share storage with them, and initial values know nothing but the seed and the indices.
#include "model/parameters.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/philox.h"

namespace smartbird {
namespace {

Parameters example(at::ScalarType dtype, uint64_t seed, int64_t first_rows) {
  Parameters p;
  p.add("embed.weight", {first_rows, 5}, 0.02, 0, true, false);
  p.add("norm.weight", {7}, 0, 1.5, false, false);
  p.add("head.weight", {3, 7}, 0.5, 0, true, false);
  p.add("sketch.weight", {2, 9}, 1.0, 0, true, true);
  p.finish(dtype, seed);
  return p;
}

TEST(Parameters, LayoutIsAlignedAndPaddingIsZero) {
  Parameters p = example(at::kFloat, 1, 13);
  int64_t covered = 0;
  for (const Parameter& parameter : p.list()) {
    EXPECT_EQ(parameter.offset % 16, 0) << parameter.name;
    EXPECT_TRUE(p.flat().slice(0, covered, parameter.offset).eq(0).all().item<bool>()) << parameter.name;
    covered = parameter.offset + parameter.count;
  }
  EXPECT_EQ(p.flat().numel(), p.size());
  EXPECT_EQ(p.sketch_begin(), p.find("sketch.weight")->offset);
  EXPECT_EQ(p.find("absent"), nullptr);
}

TEST(Parameters, ValuesAndGradientsAreViewsOfTheFlatTensors) {
  Parameters p = example(at::kDouble, 1, 13);
  const at::Tensor& head = p.value("head.weight");
  const int64_t offset = p.find("head.weight")->offset;
  EXPECT_TRUE(head.is_leaf() && head.requires_grad());
  EXPECT_EQ(head.const_data_ptr(), static_cast<const double*>(p.flat().const_data_ptr()) + offset);
  p.flat()[offset + 8] = 42.0;
  EXPECT_EQ(head[1][1].item<double>(), 42.0);
  (head * 3.0).sum().backward();
  (head * 2.0).sum().backward();
  EXPECT_TRUE(p.flat_grad().slice(0, offset, offset + 21).eq(5.0).all().item<bool>());
  EXPECT_EQ(p.flat_grad().sum().item<double>(), 5.0 * 21);
  p.zero_grad();
  EXPECT_EQ(head.grad().abs().sum().item<double>(), 0);
}

TEST(Parameters, InitialValuesDependOnSeedAndIndicesOnly) {
  Parameters a = example(at::kDouble, 7, 13), b = example(at::kDouble, 7, 101), other = example(at::kDouble, 8, 13),
             f = example(at::kFloat, 7, 13);
  EXPECT_TRUE(at::equal(a.value("head.weight"), b.value("head.weight")));  // at another offset
  EXPECT_TRUE(at::equal(a.value("embed.weight"), b.value("embed.weight").slice(0, 0, 13)));
  EXPECT_TRUE(at::equal(a.value("head.weight").to(at::kFloat), f.value("head.weight")));
  EXPECT_FALSE(at::equal(a.value("head.weight"), other.value("head.weight")));
  EXPECT_TRUE(a.value("norm.weight").eq(1.5).all().item<bool>());
  const auto pair =
      normal_pair(philox({10, 0, 2, 0}, philox_key(7, 0, Purpose::Init)));  // elements 20 (and 21) of index 2
  EXPECT_EQ(a.value("head.weight").flatten()[20].item<double>(), 0.5 * pair[0]);
}

TEST(Parameters, InitialValuesHaveTheirScale) {
  Parameters p;
  p.add("w", {400, 250}, 0.02, 0, true, false);
  p.finish(at::kDouble, 3);
  const double n = 1e5, sigma = 0.02;  // six standard errors of the mean and of the variance
  EXPECT_LT(std::abs(p.value("w").mean().item<double>()), 6 * sigma / std::sqrt(n));
  EXPECT_NEAR(p.value("w").square().mean().item<double>(), sigma * sigma, 6 * sigma * sigma * std::sqrt(2 / n));
}

TEST(Parameters, WrongDeclarationsAreRefused) {
  Parameters p;
  p.add("a", {2}, 0, 0, false, true);
  EXPECT_THROW(p.add("a", {2}, 0, 0, false, true), Error);
  EXPECT_THROW(p.add("b", {2}, 0, 0, false, false), Error);  // a model parameter after the sketch's
  EXPECT_THROW((void)p.value("a"), Error);
  p.finish(at::kFloat, 1);
  EXPECT_THROW(p.add("c", {2}, 0, 0, false, true), Error);
  EXPECT_THROW((void)p.value("absent"), Error);
}

}  // namespace
}  // namespace smartbird
