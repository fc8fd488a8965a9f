// Times each kernel of sparse attention on a GPU against its floor, which follows from ceilings measured in the same process.
//   bench_gpu [tokens...]    a JSON line each on stdout
// Not causal, 8 heads of 64, 64 picks a row and head, query block 1, 64 rows share random numbers, sketch width 32, bfloat16.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "core/error.h"
#include "kernels/adamw.h"
#include "kernels/attention_device.h"
#include "kernels/draw_device.h"
#include "kernels/filled_scan_device.h"
#include "kernels/pick_transpose.h"
#include "kernels/pick_unite.h"
#include "kernels/scan_tiles.h"
#include "tests/gpu/ceilings.h"
#include "tests/gpu/timing.h"
#include "tests/simt/elements.h"

namespace smartbird::gpu {
namespace {

using device_test::DeviceArray;
using namespace kernels;

constexpr int kHeads = 8, kWidth = 64, kSketch = 32;
constexpr int64_t kPicks = 64;

std::vector<uint16_t> random_bits(size_t count, double scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, static_cast<float>(scale));
  std::vector<float> pattern(65521);
  for (float& x : pattern) x = normal(random);
  std::vector<uint16_t> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = bfloat16_bits(pattern[i % pattern.size()]);
  return out;
}

void print(int64_t tokens, const char* kernel, double ms, double floor_ms) {
  std::printf("{\"tokens\": %lld, \"kernel\": \"%s\", \"ms\": %.4f, \"floor_ms\": %.4f}\n",
              static_cast<long long>(tokens), kernel, ms, floor_ms);
  std::fflush(stdout);
}

std::vector<ScanBlock> all_blocks(int64_t tokens) {
  std::vector<ScanBlock> blocks(static_cast<size_t>(tokens));
  for (int64_t i = 0; i < tokens; ++i) {
    ScanBlock& block = blocks[static_cast<size_t>(i)];
    block.sample = 1, block.index = i, block.group = i / 64;
    block.left_begin = 0, block.left_end = i, block.right_begin = i + 1, block.right_end = tokens;
  }
  return blocks;
}

struct Drawn {
  std::vector<int64_t> start{0};
  std::vector<int32_t> key;
  std::vector<float> log_pi;
};

Drawn bench_draw(int64_t tokens, const Ceilings& ceilings) {
  const size_t n = static_cast<size_t>(tokens);
  const std::vector<ScanBlock> blocks = all_blocks(tokens);
  const ScanTiles cut = scan_tiles(blocks, tokens);
  DeviceArray<uint16_t> queries(random_bits(n * kSketch, 1, 1)), keys(random_bits(n * kSketch, 1, 2));
  DeviceArray<ScanBlock> device_blocks(blocks);
  DeviceArray<ScanTile> tiles(cut.tiles);
  DeviceArray<ScanGroup> groups(cut.groups);
  DeviceScanInput<uint16_t> in;
  in.queries = queries.data(), in.keys = keys.data(), in.num_keys = tokens, in.width = kSketch, in.scale = 0.18F;
  in.blocks = device_blocks.data(), in.tiles = tiles.data(), in.groups = groups.data();
  in.num_tiles = static_cast<int64_t>(cut.tiles.size()), in.num_groups = static_cast<int64_t>(cut.groups.size());
  DeviceArray<float> memory(static_cast<size_t>(sketch_scan_floats(in.num_tiles)));
  DeviceArray<double> lse(n);
  const double pairs = static_cast<double>(tokens) * static_cast<double>(tokens),
               exp_ms = pairs / ceilings.exp2_per_s * 1e3;
  print(tokens, "sketch_scan", median_ms([&] { sketch_scan(Stream{}, in, memory.data(), lse.data()); }), exp_ms);
  const DrawOptions options{.picks = kPicks, .heads = kHeads, .key = {7, 9}};
  DeviceArray<double> before(n), filled(n);  // a round costs a product and a comparison a pair
  print(tokens, "fill_budget",
        median_ms([&] { fill_budget(Stream{}, in, options, lse.data(), memory.data(), before.data(), filled.data()); }),
        exp_ms);
  DeviceArray<float> least(std::vector<float>(n, draw_least(options, tokens - 1)));
  DeviceArray<int32_t> in_tile(cut.tiles.size() * kTileRows * kHeads), lengths(n * kHeads);
  const int64_t chunks = draw_chunks(options, tokens, in.num_tiles);
  const size_t room = static_cast<size_t>(chunks), notes = room * kNotesOfChunk;
  DeviceArray<int32_t> taken(1), used(room), next(room);
  DeviceArray<uint32_t> place(notes), note_heads(notes);
  DeviceArray<float> chance(notes);
  const DeviceDrawInput with{
      lse.data(),
      least.data(),
      in_tile.data(),
      {chunks, taken.data(), used.data(), next.data(), place.data(), note_heads.data(), chance.data()}};
  print(tokens, "draw, counting", median_ms([&] { count_picks(Stream{}, in, options, with, lengths.data()); }), exp_ms);
  if (taken.values()[0] > chunks)
    fail(ErrorKind::Device, "draw: ", taken.values()[0], " chunks asked for, ", chunks, " there");
  Drawn out;
  for (int32_t length : lengths.values()) out.start.push_back(out.start.back() + length);
  const size_t count = static_cast<size_t>(out.start.back());
  DeviceArray<int64_t> start(out.start);
  DeviceArray<int32_t> key(count);
  DeviceArray<float> log_pi(count);
  print(tokens, "draw, writing", median_ms([&] {
          write_picks(Stream{}, in.tiles, in.num_tiles, options, with, start.data(), key.data(), log_pi.data());
        }),
        20e3 * static_cast<double>(count) / ceilings.copy_bytes_per_s);
  out.key = key.values(), out.log_pi = log_pi.values();
  return out;
}

// Keys that 16 neighbouring rows of a head pick at least once, over all tiles.
int64_t united_picks(int64_t tokens, const Drawn& drawn) {
  int64_t out = 0;
  std::vector<int64_t> seen(static_cast<size_t>(tokens), -1);
  for (int head = 0; head < kHeads; ++head)
    for (int64_t row = 0; row < tokens; ++row) {
      const size_t list = static_cast<size_t>(row * kHeads + head);
      const int64_t tile = head * tokens + row / 16;
      for (int64_t i = drawn.start[list]; i < drawn.start[list + 1]; ++i) {
        int64_t& last = seen[static_cast<size_t>(drawn.key[static_cast<size_t>(i)])];
        out += last != tile;
        last = tile;
      }
    }
  return out;
}

// With a band of `window` keys. Floors: what must come from L2, a key read once for those that read it together.
void bench_attention(int64_t tokens, int64_t window, const Drawn& drawn, const Ceilings& ceilings) {
  const size_t n = static_cast<size_t>(tokens), picks = drawn.key.size();
  std::vector<int64_t> row(n + 1), band_begin(n), slot_end(n);
  std::vector<int32_t> slot(n), unit(picks), list(picks);
  for (size_t i = 0; i <= n; ++i) row[i] = static_cast<int64_t>(i);
  for (size_t i = 0; i < n; ++i) {
    slot[i] = static_cast<int32_t>(i);
    band_begin[i] = std::max(row[i] - window + 1, int64_t{0}), slot_end[i] = std::min(row[i] + window, tokens);
  }
  for (size_t l = 0; l + 1 < drawn.start.size(); ++l)
    for (int64_t i = drawn.start[l]; i < drawn.start[l + 1]; ++i) {
      const size_t at = static_cast<size_t>(i);
      unit[at] = static_cast<int32_t>(static_cast<int64_t>(l % kHeads) * tokens + drawn.key[at]);
      list[at] = static_cast<int32_t>(l);
    }
  DeviceArray<int64_t> rows(row), begins(band_begin), slot_ends(slot_end), start(drawn.start), by_unit(n * kHeads + 1);
  DeviceArray<int32_t> pick_keys(drawn.key), slots(slot), units(unit), lists(list), sorted_lists(picks);
  DeviceArray<float> log_pi(drawn.log_pi), sorted_log_pi(picks), lse(n * kHeads), sums(2 * n * kHeads);
  const size_t numbers = n * kHeads * kWidth;
  DeviceArray<uint16_t> q(random_bits(numbers, 1, 3)), kv(random_bits(2 * numbers, 1, 4)), o(numbers),
      grad_o(random_bits(numbers, 1, 5)), grad_q(numbers), grad_kv(2 * numbers);
  DeviceAttentionInput<uint16_t> in;
  in.rows = tokens, in.units = tokens * kHeads, in.heads = in.kv_heads = in.pick_heads = kHeads, in.width = kWidth;
  in.scale = 0.125F, in.q = q.data(), in.kv = kv.data();
  in.band_begin = begins.data(), in.band_end = rows.data() + 1, in.token_slot = slots.data(), in.slots = tokens;
  in.row_block = rows.data(), in.pick_start = start.data(), in.pick_unit = units.data(), in.pick_log_pi = log_pi.data();
  const std::string suffix = window > 1 ? ", band of " + std::to_string(window) : "";
  const auto print_gather = [&](const std::string& kernel, double keys, double ms) {
    print(tokens, (kernel + suffix).c_str(), ms, 1e3 * keys * 4 * kWidth / ceilings.gather_bytes_per_s);
  };
  const double all_rows = static_cast<double>(numbers / kWidth), all_picks = static_cast<double>(picks),
               band_of_tiles = all_rows * static_cast<double>(window + 15) / 16,
               united_keys = static_cast<double>(united_picks(tokens, drawn)),
               gathered = all_picks + all_rows * static_cast<double>(window);
  const DevicePickLists pick_lists{tokens, kHeads, rows.data(), start.data(), pick_keys.data(), units.data()};
  DeviceArray<int64_t> steps(static_cast<size_t>(united_lists(tokens, kHeads)));
  const auto count = [&] { count_united_steps(Stream{}, pick_lists, steps.data()); };
  const double count_ms = median_ms(count);
  count();
  std::vector<int64_t> ends{0};
  for (const int64_t n : steps.values()) ends.push_back(ends.back() + n);
  DeviceArray<int64_t> tile_start(ends);
  DeviceArray<int32_t> tile_unit(static_cast<size_t>(ends.back() * kUnitedKeys));
  DeviceArray<uint16_t> tile_bits(static_cast<size_t>(ends.back() * kUnitedKeys));
  const double unite_ms =
      median_ms([&] { pick_unite(Stream{}, pick_lists, tile_start.data(), tile_unit.data(), tile_bits.data()); });
  if (window == 1)
    print(tokens, "pick_unite, both passes", count_ms + unite_ms,
          (2 * 4e3 * all_picks + 6e3 * united_keys) / ceilings.copy_bytes_per_s);
  for (const bool tiles : {true, false}) {
    in.tile_start = tiles ? tile_start.data() : nullptr;
    in.tile_unit = tile_unit.data(), in.tile_bits = tile_bits.data();
    const std::string how = tiles ? "" : ", row by row";
    const double keys = tiles ? united_keys + band_of_tiles : gathered;
    print_gather("attention_forward" + how, keys,
                 median_ms([&] { attention_forward(Stream{}, in, o.data(), lse.data()); }));
    print_gather("attention_backward_q" + how, keys, median_ms([&] {
                   attention_backward_q(Stream{}, in, o.data(), lse.data(), grad_o.data(), grad_q.data(), sums.data());
                 }));
  }
  DeviceArray<std::byte> memory(static_cast<size_t>(pick_transpose_bytes(static_cast<int64_t>(picks))));
  const double transpose_ms = median_ms([&] {
    pick_transpose(Stream{}, static_cast<int64_t>(picks), in.units, {units.data(), lists.data(), log_pi.data()},
                   memory.data(), {by_unit.data(), sorted_lists.data(), sorted_log_pi.data()});
  });
  if (window == 1) print(tokens, "pick_transpose", transpose_ms, 48e3 * all_picks / ceilings.copy_bytes_per_s);
  DeviceArray<float> tails(static_cast<size_t>(attention_tails(static_cast<int64_t>(picks)) * 2 * kWidth)),
      band(2 * numbers);
  const DeviceKeyLists by_key{.slot_begin = rows.data(),
                              .slot_end = slot_ends.data(),
                              .block_begin = rows.data(),
                              .start = by_unit.data(),
                              .list = sorted_lists.data(),
                              .log_pi = sorted_log_pi.data(),
                              .picks = static_cast<int64_t>(picks),
                              .tails = tails.data(),
                              .band = band.data()};
  print_gather("attention_backward_kv", all_picks + band_of_tiles, median_ms([&] {
                 attention_backward_kv(Stream{}, in, by_key, grad_o.data(), sums.data(), grad_kv.data());
               }));
}

void bench_adamw(const Ceilings& ceilings) {
  constexpr int64_t kCount = 100'000'000;
  DeviceArray<float> gradient(kCount, 0.1F), weight(kCount, 1.0F), m(kCount), v(kCount);
  print(0, "adamw", median_ms([&] {
          adamw<float>(Stream{}, AdamW{.learning_rate = 1e-3, .step = 1}, kCount, gradient.data(), weight.data(),
                       m.data(), v.data());
        }),
        28e3 * kCount / ceilings.copy_bytes_per_s);
}

}  // namespace
}  // namespace smartbird::gpu

int main(int argc, char** argv) {
  using namespace smartbird::gpu;
  const Ceilings ceilings = measure_ceilings();
  std::printf("{\"copy_tb_per_s\": %.3f, \"exp2_t_per_s\": %.3f, \"gather_tb_per_s\": %.3f}\n",
              ceilings.copy_bytes_per_s * 1e-12, ceilings.exp2_per_s * 1e-12, ceilings.gather_bytes_per_s * 1e-12);
  for (int i = 1; i < argc; ++i) {
    const int64_t tokens = std::atoll(argv[i]);
    const Drawn drawn = bench_draw(tokens, ceilings);
    for (const int64_t window : {1, 64}) bench_attention(tokens, window, drawn, ceilings);
  }
  bench_adamw(ceilings);
}
