// Law: each kernel for a GPU gives, on the emulator, what its definition in double gives, within twice the error of the plain
// formula in its own precision; where it promises the CPU's bits, those.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/adamw.h"
#include "kernels/sketch_scan_device.h"
#include "tests/reference/reference_scan.h"
#include "tests/support/simt/memory.h"

namespace smartbird::kernels {
namespace {

using simt::DeviceArray;

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

uint16_t bfloat16_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
float from_bits(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// What a kernel takes, of a stream in float.
template <class Element>
std::vector<Element> elements(const std::vector<float>& x) {
  std::vector<Element> out;
  for (float value : x)
    if constexpr (std::is_same_v<Element, float>)
      out.push_back(value);
    else
      out.push_back(bfloat16_bits(value));
  return out;
}

template <class Element>
std::vector<double> scan(const reference::Stream<float>& stream, std::span<const ScanBlock> blocks, size_t first_row) {
  const ScanTiles cut = scan_tiles(blocks);
  const size_t width = static_cast<size_t>(stream.width);
  const std::vector<float> rows(stream.queries.begin() + static_cast<int64_t>(first_row * width),
                                stream.queries.begin() + static_cast<int64_t>((first_row + blocks.size()) * width));
  DeviceArray<Element> queries(elements<Element>(rows)), keys(elements<Element>(stream.keys));
  DeviceArray<ScanBlock> device_blocks(blocks);
  DeviceArray<int64_t> excluded(stream.excluded);
  DeviceArray<ScanTile> tiles(cut.tiles);
  DeviceArray<ScanGroup> groups(cut.groups);
  DeviceArray<float> memory(cut.tiles.size() * kTileRows * 2, -7.0F);
  DeviceArray<double> lse(blocks.size(), -7.0);
  DeviceScanInput<Element> in;
  in.queries = queries.data(), in.keys = keys.data();
  in.num_keys = static_cast<int64_t>(stream.keys.size() / width), in.width = stream.width, in.scale = 0.7F;
  in.blocks = device_blocks.data(), in.excluded = stream.excluded.empty() ? nullptr : excluded.data();
  in.num_excluded = static_cast<int64_t>(stream.excluded.size());
  in.tiles = tiles.data(), in.groups = groups.data();
  in.num_tiles = static_cast<int64_t>(cut.tiles.size()), in.num_groups = static_cast<int64_t>(cut.groups.size());
  sketch_scan<Element>(Stream{}, in, memory.data(), lse.data());
  return lse.values();
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
    std::mt19937 random(7);
    reference::Stream<float> stream = reference::random_stream<float>(shape, random);
    if constexpr (!std::is_same_v<Element, float>)
      for (auto* side : {&stream.queries, &stream.keys})
        for (float& x : *side) x = from_bits(bfloat16_bits(x));
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

// More keys than one tile takes: tiles are joined.
TEST(SketchScan, JoinsTiles) {
  std::mt19937 random(9);
  reference::StreamShape shape{.lengths = {9000}, .block = 3000, .window = 0, .width = 16, .causal = false};
  const auto stream = reference::random_stream<float>(shape, random);
  ASSERT_EQ(scan_tiles(stream.blocks).tiles.size(), 2U);
  const auto lse = scan<float>(stream, stream.blocks, 0);
  for (size_t i = 0; i < lse.size(); ++i)
    EXPECT_NEAR(lse[i], reference::log_sum_exp(reference::scores(stream.input(), static_cast<int64_t>(i))), 1e-5);
}

}  // namespace
}  // namespace smartbird::kernels
