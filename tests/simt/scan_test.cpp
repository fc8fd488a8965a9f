// Law: on the emulator a kernel for a GPU gives what its definition in double gives, within the error of sums in float and of the
// output's own type.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/simt/scan_on_device.h"

namespace smartbird::kernels {
namespace {

template <class Element>
std::vector<double> scan(const reference::Stream<float>& stream, std::span<const ScanBlock> blocks, size_t first_row) {
  OnDevice<Element> device(stream, blocks, first_row);
  sketch_scan<Element>(Stream{}, device.in, device.memory.data(), device.lse.data());
  return device.lse.values();
}

std::vector<reference::StreamShape> shapes() {
  return {{.lengths = {70, 1, 300}, .window = 3, .width = 32},
          {.lengths = {200}, .block = 4, .window = 2, .width = 16, .causal = false},
          {.lengths = {129, 128}, .window = 0, .width = 64, .excluded = {0, 5, 127, 128}},
          {.lengths = {520}, .block = 8, .window = 1, .width = 32, .causal = false, .excluded = {511}}};
}

template <class Element>
void expect_the_definition() {
  for (const auto& shape : shapes()) {
    const auto stream = exact_stream<Element>(shape);
    const auto lse = scan<Element>(stream, stream.blocks, 0);
    for (size_t i = 0; i < lse.size(); ++i) {
      const double expected = reference::log_sum_exp(reference::scores(stream.input(), static_cast<int64_t>(i)));
      if (std::isinf(expected))
        EXPECT_EQ(lse[i], expected) << i;
      else
        EXPECT_NEAR(lse[i], expected, 4e-6 * (1 + std::abs(expected))) << "row " << i;
    }
  }
}

TEST(SketchScan, IsTheDefinitionInFloat) { expect_the_definition<float>(); }
TEST(SketchScan, IsTheDefinitionInBfloat16) { expect_the_definition<uint16_t>(); }

// Scanned with others or from another row on: the same bits.
template <class Element>
void expect_rows_to_stand_alone() {
  std::mt19937 random(8);
  const auto stream =
      reference::random_stream<float>({.lengths = {260}, .window = 2, .width = 16, .causal = false}, random);
  const auto whole = scan<Element>(stream, stream.blocks, 0);
  const auto part = scan<Element>(stream, std::span(stream.blocks).subspan(37, 100), 37);
  for (size_t i = 0; i < part.size(); ++i) EXPECT_EQ(part[i], whole[37 + i]) << i;
}

TEST(SketchScan, RowsStandAlone) {
  expect_rows_to_stand_alone<float>();
  expect_rows_to_stand_alone<uint16_t>();
}

// Other sequences in the stream, also so many that tiles are larger, change no bit.
TEST(SketchScan, OtherSequencesChangeNothing) {
  std::mt19937 random(10);
  const reference::StreamShape shape{.lengths = {3000, 14000}, .block = 100, .window = 1, .width = 16, .causal = false};
  const auto stream = reference::random_stream<float>(shape, random);
  auto alone = stream;
  alone.keys.resize(3000 * 16);
  const std::span<const ScanBlock> first = std::span(stream.blocks).first(30);
  ASSERT_NE(scan_tiles(first, 3000).tiles.size(), scan_tiles(first, 17000).tiles.size());
  EXPECT_EQ(scan<float>(alone, first, 0), scan<float>(stream, first, 0));
  EXPECT_EQ(scan<uint16_t>(alone, first, 0), scan<uint16_t>(stream, first, 0));
}

// More keys than one tile takes: tiles are joined.
TEST(SketchScan, JoinsTiles) {
  std::mt19937 random(9);
  reference::StreamShape shape{.lengths = {9000}, .block = 3000, .window = 0, .width = 16, .causal = false};
  const auto stream = reference::random_stream<float>(shape, random);
  ASSERT_EQ(scan_tiles(stream.blocks, 9000).tiles.size(), 9U);
  const auto lse = scan<float>(stream, stream.blocks, 0);
  for (size_t i = 0; i < lse.size(); ++i)
    EXPECT_NEAR(lse[i], reference::log_sum_exp(reference::scores(stream.input(), static_cast<int64_t>(i))), 1e-5);
}

}  // namespace
}  // namespace smartbird::kernels
