// A stream of sketches in the memory of a device, as scans and draws read it.
#pragma once

#include <random>

#include "device_array.h"
#include "kernels/sketch_scan_device.h"
#include "tests/reference/reference_draw.h"
#include "tests/simt/elements.h"

namespace smartbird::kernels {

using device_test::DeviceArray;

inline std::vector<float> query_rows(const reference::Stream<float>& stream, size_t first, size_t count) {
  const size_t width = static_cast<size_t>(stream.width);
  std::vector<float> out;
  for (size_t i = first * width; i < (first + count) * width; ++i) out.push_back(stream.queries[i]);
  return out;
}

// Blocks of a stream, from `first_row` on, in device memory.
template <class Element>
struct OnDevice {
  OnDevice(const reference::Stream<float>& stream, std::span<const ScanBlock> blocks, size_t first_row)
      : cut(scan_tiles(blocks, static_cast<int64_t>(stream.keys.size()) / stream.width)),
        queries(elements<Element>(query_rows(stream, first_row, blocks.size()))),
        keys(elements<Element>(stream.keys)),
        device_blocks(blocks),
        excluded(stream.excluded),
        tiles(cut.tiles),
        groups(cut.groups),
        memory(static_cast<size_t>(sketch_scan_floats(static_cast<int64_t>(cut.tiles.size()))), -7.0F),
        lse(blocks.size(), -7.0) {
    in.queries = queries.data(), in.keys = keys.data();
    in.num_keys = static_cast<int64_t>(stream.keys.size()) / stream.width, in.width = stream.width, in.scale = 0.7F;
    in.blocks = device_blocks.data(), in.excluded = stream.excluded.empty() ? nullptr : excluded.data();
    in.num_excluded = static_cast<int64_t>(stream.excluded.size());
    in.tiles = tiles.data(), in.groups = groups.data();
    in.num_tiles = static_cast<int64_t>(cut.tiles.size()), in.num_groups = static_cast<int64_t>(cut.groups.size());
  }
  ScanTiles cut;
  DeviceArray<Element> queries, keys;
  DeviceArray<ScanBlock> device_blocks;
  DeviceArray<int64_t> excluded;
  DeviceArray<ScanTile> tiles;
  DeviceArray<ScanGroup> groups;
  DeviceArray<float> memory;
  DeviceArray<double> lse;
  DeviceScanInput<Element> in;
};

// Values that Element holds exactly.
template <class Element>
reference::Stream<float> exact_stream(const reference::StreamShape& shape) {
  std::mt19937 random(7);
  reference::Stream<float> stream = reference::random_stream<float>(shape, random);
  if constexpr (!std::is_same_v<Element, float>)
    for (auto* side : {&stream.queries, &stream.keys})
      for (float& x : *side) x = from_bits(bfloat16_bits(x));
  return stream;
}

}  // namespace smartbird::kernels
