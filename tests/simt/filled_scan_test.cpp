// Law: on the emulator a kernel for a GPU gives what its definition in double gives, within the error of sums in float and of what
// rounds of Newton's method leave.

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/filled_scan_device.h"
#include "tests/simt/scan_on_device.h"

namespace smartbird::kernels {
namespace {

struct Filled {
  std::vector<double> lse, filled;
};

template <class Element>
Filled fill(const reference::Stream<float>& stream, std::span<const ScanBlock> blocks, size_t first_row,
            const DrawOptions& options) {
  OnDevice<Element> device(stream, blocks, first_row);
  DeviceArray<double> before(blocks.size(), -7.0), filled(blocks.size(), -7.0);
  sketch_scan<Element>(Stream{}, device.in, device.memory.data(), device.lse.data());
  fill_budget<Element>(Stream{}, device.in, options, device.lse.data(), device.memory.data(), before.data(),
                       filled.data());
  return {device.lse.values(), filled.values()};
}

// Numbers that Element holds, the queries larger than others.
template <class Element>
reference::Stream<float> peaked_stream(const reference::StreamShape& shape, float by) {
  auto stream = exact_stream<Element>(shape);
  for (float& x : stream.queries) x *= by;
  return stream;
}

double cut_sum(const std::vector<double>& p, double factor) {
  double sum = 0;
  for (double x : p) sum += std::min(1.0, factor * x);
  return sum;
}

template <class Element>
void expect_the_definition() {
  int64_t raised = 0, left_alone = 0;
  for (const reference::StreamShape& shape : std::vector<reference::StreamShape>{
           {.lengths = {70, 1, 300}, .window = 3, .width = 32},
           {.lengths = {200}, .block = 4, .window = 2, .width = 16, .causal = false, .excluded = {0, 5, 127}},
           {.lengths = {2200}, .block = 100, .window = 0, .width = 64, .causal = false}})
    for (const float by : {0.25F, 0.5F, 1.0F})
      for (const double floor : {0.0, 0.25}) {
        const auto stream = peaked_stream<Element>(shape, by);
        const DrawOptions options{.picks = 12, .floor = floor};
        const Filled got = fill<Element>(stream, stream.blocks, 0, options);
        const double budget = 12 * (1 - floor);
        for (size_t i = 0; i < got.lse.size(); ++i) {
          std::vector<double> p = reference::scores(stream.input(), static_cast<int64_t>(i));
          if (p.size() <= 12) continue;
          const double lse = reference::log_sum_exp(p);
          for (double& x : p) x = std::exp(x - lse);
          const double most = *std::max_element(p.begin(), p.end()) * budget;
          if (most < 1 - 1e-4) {
            EXPECT_EQ(got.filled[i], got.lse[i]) << "row " << i << ", nothing certain";
            ++left_alone;
          } else if (most > 1 + 1e-4) {
            const double factor = budget * std::exp(got.lse[i] - got.filled[i]), sum = cut_sum(p, factor);
            double left = 0;  // to the keys that are not certain; sums in float err by some 1e-6 of all
            for (double x : p) left += factor * x < 1 ? x : 0;
            EXPECT_GT(factor, budget) << "row " << i;
            EXPECT_LT(sum, budget * (1 + 1e-5 + 2e-6 / std::max(left, kLeastLeft))) << "row " << i << ", left " << left;
            if (left > 1e-3) {
              EXPECT_GT(sum, budget * (1 - 5e-3))
                  << "row " << i << ", c " << factor << " of " << reference::filled_factor(p, budget);
            }
            ++raised;
          }
        }
      }
  EXPECT_GT(raised, 500);
  EXPECT_GT(left_alone, 100);
}

TEST(FilledScan, IsTheDefinitionInFloat) { expect_the_definition<float>(); }
TEST(FilledScan, IsTheDefinitionInBfloat16) { expect_the_definition<uint16_t>(); }

// Filled with others or from another row on: the same bits.
template <class Element>
void expect_rows_to_stand_alone() {
  const auto stream = peaked_stream<Element>({.lengths = {260}, .window = 2, .width = 16, .causal = false}, 1);
  const DrawOptions options{.picks = 9};
  const Filled whole = fill<Element>(stream, stream.blocks, 0, options),
               part = fill<Element>(stream, std::span(stream.blocks).subspan(37, 100), 37, options);
  for (size_t i = 0; i < part.filled.size(); ++i) EXPECT_EQ(part.filled[i], whole.filled[37 + i]) << i;
}

TEST(FilledScan, RowsStandAlone) {
  expect_rows_to_stand_alone<float>();
  expect_rows_to_stand_alone<uint16_t>();
}

TEST(FilledScan, NoBudgetChangesNothing) {
  const auto stream = peaked_stream<float>({.lengths = {90}, .window = 1, .width = 16}, 1);
  for (const DrawOptions& options :
       {DrawOptions{.picks = 0}, DrawOptions{.picks = 5, .floor = 1}, DrawOptions{.picks = 1, .floor = 0}}) {
    const Filled got = fill<float>(stream, stream.blocks, 0, options);
    EXPECT_EQ(got.filled, got.lse);
  }
}

}  // namespace
}  // namespace smartbird::kernels
