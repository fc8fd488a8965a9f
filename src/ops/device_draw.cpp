// Runs of rows: scan, count, lengths to the host, write.
#include "ops/device_draw.h"

#include <algorithm>
#include <cmath>

#include "kernels/draw_device.h"
#include "kernels/filled_scan_device.h"
#include "kernels/scan_tiles.h"
#include "ops/device_tensors.h"

namespace smartbird {
namespace {

using kernels::ScanBlock;

// As bytes: structs have no tensor type.
template <class T>
at::Tensor structs_to(const std::vector<T>& values, at::Device device) {
  return copied_to(std::span(reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)), device);
}

// What the runs share.
struct Draw {
  const SketchScores& scores;
  std::span<const int64_t> excluded;
  const kernels::DrawOptions& options;
  at::Tensor queries, keys, excluded_there;
  at::Device device;
};

// Memory on the device a row takes.
int64_t bytes_of_row(const kernels::DrawOptions& options, int64_t most, int64_t stream_keys) {
  const int64_t tiles = most / (kernels::split_leaves(stream_keys) * kernels::kLeafKeys) + 1,
                chunks = kernels::draw_chunks(options, kernels::kTileRows, tiles);
  return 12 * kernels::kNotesOfChunk * chunks / kernels::kTileRows +
         tiles * (4 * options.heads + 8 * kernels::kMostSums) + options.heads * (20 * options.picks + 8) +
         static_cast<int64_t>(sizeof(ScanBlock));
}

int64_t largest_domain(std::span<const ScanBlock> blocks, std::span<const int64_t> excluded) {
  int64_t most = 1;
  for (const ScanBlock& block : blocks) most = std::max(most, kernels::domain_size(block, excluded));
  return most;
}

template <class Element>
void draw_run(const Draw& draw, std::span<const ScanBlock> blocks, int64_t first_row, kernels::Picks<float>& picks) {
  const kernels::DrawOptions& options = draw.options;
  const kernels::ScanTiles cut = kernels::scan_tiles(blocks, draw.keys.size(0));
  const int64_t rows = static_cast<int64_t>(blocks.size()), tiles = static_cast<int64_t>(cut.tiles.size()),
                heads = options.heads;
  const at::Tensor there = structs_to(std::vector<ScanBlock>(blocks.begin(), blocks.end()), draw.device),
                   tile_list = structs_to(cut.tiles, draw.device), group_list = structs_to(cut.groups, draw.device);
  kernels::DeviceScanInput<Element> in;
  in.queries = data_of<Element>(draw.queries) + first_row * draw.queries.size(1), in.keys = data_of<Element>(draw.keys);
  in.num_keys = draw.keys.size(0), in.width = draw.keys.size(1), in.scale = static_cast<float>(draw.scores.scale);
  in.blocks = reinterpret_cast<const ScanBlock*>(data_of<uint8_t>(there));
  in.excluded = draw.excluded.empty() ? nullptr : data_of<int64_t>(draw.excluded_there);
  in.num_excluded = static_cast<int64_t>(draw.excluded.size());
  in.tiles = reinterpret_cast<const kernels::ScanTile*>(data_of<uint8_t>(tile_list));
  in.groups = reinterpret_cast<const kernels::ScanGroup*>(data_of<uint8_t>(group_list));
  in.num_tiles = tiles, in.num_groups = static_cast<int64_t>(cut.groups.size());

  std::vector<float> least;
  std::vector<double> flat;
  for (const ScanBlock& block : blocks) {
    const int64_t domain = kernels::domain_size(block, draw.excluded);
    least.push_back(kernels::draw_least(options, domain)), flat.push_back(std::log(static_cast<double>(domain)));
  }
  const kernels::Stream stream = stream_of(draw.keys);
  const auto numbers = [&](int64_t count, at::ScalarType type) {
    return at::empty({count}, draw.keys.options().dtype(type));
  };
  at::Tensor lse;
  if (options.mode == kernels::DrawMode::Uniform) {
    lse = copied_to(std::span<const double>(flat), draw.device), in.scale = 0;
  } else {
    lse = numbers(rows, at::kDouble);
    const at::Tensor memory = numbers(kernels::sketch_scan_floats(tiles), at::kFloat);
    kernels::sketch_scan<Element>(stream, in, data_of<float>(memory), data_of<double>(lse));
    if (options.fill) {
      const at::Tensor before = numbers(rows, at::kDouble), filled = numbers(rows, at::kDouble);
      kernels::fill_budget<Element>(stream, in, options, data_of<double>(lse), data_of<float>(memory),
                                    data_of<double>(before), data_of<double>(filled));
      lse = filled;
    }
  }
  const at::Tensor least_there = copied_to(std::span<const float>(least), draw.device),
                   in_tile = numbers(tiles * kernels::kTileRows * heads, at::kInt),
                   lengths = numbers(rows * heads + 1, at::kInt);  // and the chunks taken
  kernels::DeviceDrawInput with{data_of<double>(lse), data_of<float>(least_there), data_of<int32_t>(in_tile), {}};
  at::Tensor notes, lengths_here;
  for (int64_t chunks = kernels::draw_chunks(options, rows, tiles), taken = chunks + 1; taken > chunks;) {
    const int64_t room = chunks * kernels::kNotesOfChunk;
    notes = numbers(2 * chunks + 3 * room, at::kInt);
    int32_t *const of_chunks = data_of<int32_t>(notes), *const of_notes = of_chunks + 2 * chunks;
    with.notes = {chunks,
                  data_of<int32_t>(lengths) + rows * heads,
                  of_chunks,
                  of_chunks + chunks,
                  reinterpret_cast<uint32_t*>(of_notes),
                  reinterpret_cast<uint32_t*>(of_notes + room),
                  reinterpret_cast<float*>(of_notes + 2 * room)};
    kernels::count_picks(stream, in, options, with, data_of<int32_t>(lengths));
    lengths_here = lengths.cpu();  // waits for the GPU
    taken = lengths_here.const_data_ptr<int32_t>()[rows * heads];
    if (taken > chunks) chunks = taken++;  // once more
  }
  std::vector<int64_t> start{0};
  for (int64_t i = 0; i < rows * heads; ++i) start.push_back(start.back() + lengths_here.const_data_ptr<int32_t>()[i]);
  const at::Tensor start_there = copied_to(std::span<const int64_t>(start), draw.device),
                   key = numbers(start.back(), at::kInt), log_pi = numbers(start.back(), at::kFloat);
  kernels::write_picks(stream, in.tiles, tiles, options, with, data_of<int64_t>(start_there), data_of<int32_t>(key),
                       data_of<float>(log_pi));
  const int64_t before = picks.start.back();
  for (size_t i = 1; i < start.size(); ++i) picks.start.push_back(before + start[i]);
  const at::Tensor key_here = key.cpu(), log_pi_here = log_pi.cpu();
  const auto append = [&](auto& to, const auto* from) { to.insert(to.end(), from, from + start.back()); };
  append(picks.key, key_here.const_data_ptr<int32_t>()), append(picks.log_pi, log_pi_here.const_data_ptr<float>());
}

}  // namespace

kernels::Picks<float> device_draw(const SketchScores& scores, std::span<const ScanBlock> blocks,
                                  std::span<const int64_t> excluded, const kernels::DrawOptions& options,
                                  int64_t budget_bytes) {
  if (options.mode == kernels::DrawMode::None) {
    kernels::Picks<float> none;
    none.start.resize(blocks.size() * static_cast<size_t>(options.heads) + 1, 0);
    return none;
  }
  SB_CHECK(scores.queries.scalar_type() == scores.keys.scalar_type() && scores.queries.device() == scores.keys.device(),
           Shape, "draw on a GPU: queries and keys differ in type or device");
  const at::Device device = scores.keys.device();
  const Draw draw{
      scores, excluded, options, scores.queries.contiguous(), scores.keys.contiguous(), copied_to(excluded, device),
      device};
  const int64_t rows = budget_bytes / bytes_of_row(options, largest_domain(blocks, excluded), scores.keys.size(0));
  const size_t run = static_cast<size_t>(std::max<int64_t>(1, rows / kernels::kTileRows) * kernels::kTileRows);
  kernels::Picks<float> picks;
  with_element("draw", draw.keys, [&](auto t) {
    for (size_t first = 0; first < blocks.size(); first += run)
      draw_run<decltype(t)>(draw, blocks.subspan(first, std::min(run, blocks.size() - first)),
                            static_cast<int64_t>(first), picks);
  });
  return picks;
}

}  // namespace smartbird
