// Law: on the emulator a kernel for a GPU gives what its definition in double gives, within the error of sums in float and of the
// output's own type.
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "kernels/draw_device.h"
#include "tests/simt/scan_on_device.h"

namespace smartbird::kernels {
namespace {

// chunks: for notes, at first; -1: what is to be expected. Counted again with as many as were asked for; `counted` says how often.
template <class Element>
Picks<float> draw_on_device(const reference::Stream<float>& stream, const DrawOptions& options, int64_t chunks,
                            int& counted) {
  OnDevice<Element> device(stream, stream.blocks, 0);
  std::vector<float> least;
  std::vector<double> flat;
  for (const ScanBlock& block : stream.blocks) {
    const int64_t domain = domain_size(block, stream.excluded);
    least.push_back(draw_least(options, domain)), flat.push_back(std::log(static_cast<double>(domain)));
  }
  const bool uniform = options.mode == DrawMode::Uniform;
  if (uniform)
    device.in.scale = 0;
  else
    sketch_scan<Element>(Stream{}, device.in, device.memory.data(), device.lse.data());
  const size_t lists = stream.blocks.size() * static_cast<size_t>(options.heads);
  DeviceArray<double> by_size(flat);
  DeviceArray<float> floor(least);
  DeviceArray<int32_t> in_tile(device.cut.tiles.size() * kTileRows * static_cast<size_t>(options.heads), -7),
      lengths(lists, -7);
  const int64_t tiles = static_cast<int64_t>(device.cut.tiles.size());
  if (chunks < 0) chunks = draw_chunks(options, static_cast<int64_t>(stream.blocks.size()), tiles);
  for (counted = 1;; ++counted) {
    const size_t room = static_cast<size_t>(chunks), notes = room * kNotesOfChunk;
    DeviceArray<int32_t> taken(1, -7), used(room, -7), next(room, -7);
    DeviceArray<uint32_t> place(notes, 7), heads(notes, 7);
    DeviceArray<float> chance(notes, 7.0F);
    const DeviceDrawInput with{
        uniform ? by_size.data() : device.lse.data(),
        floor.data(),
        in_tile.data(),
        {chunks, taken.data(), used.data(), next.data(), place.data(), heads.data(), chance.data()}};
    count_picks(Stream{}, device.in, options, with, lengths.data());
    if (taken.values()[0] > chunks) {
      chunks = taken.values()[0];
      continue;
    }
    Picks<float> out;
    for (int32_t length : lengths.values()) out.start.push_back(out.start.back() + length);
    const size_t count = static_cast<size_t>(out.start.back());
    DeviceArray<int64_t> start(out.start);
    DeviceArray<int32_t> key(count, -7);
    DeviceArray<float> log_pi(count, 7.0F);
    write_picks(Stream{}, device.in.tiles, tiles, options, with, start.data(), key.data(), log_pi.data());
    for (int32_t k : key.values()) out.key.push_back(k);
    for (float x : log_pi.values()) out.log_pi.push_back(x);
    return out;
  }
}

struct Decided {
  int64_t picks = 0, doubtful = 0;
  int counted = 0;
};

// Every pair is decided as by the definition, except where its probability comes within rounding of its random number.
template <class Element>
void expect_defined(const reference::StreamShape& shape, const DrawOptions& options, Decided& sum,
                    int64_t chunks = -1) {
  const auto stream = exact_stream<Element>(shape);
  const Picks<float> got = draw_on_device<Element>(stream, options, chunks, sum.counted);
  const auto input = stream.input();
  for (size_t list = 0; list < stream.blocks.size() * static_cast<size_t>(options.heads); ++list) {
    const size_t i = list / static_cast<size_t>(options.heads), head = list % static_cast<size_t>(options.heads);
    const auto pi = reference::inclusion(input, static_cast<int64_t>(i), options);
    const ScanBlock& block = stream.blocks[i];
    int64_t at = got.start[list];
    for (size_t j = 0; j < pi.key.size(); ++j) {
      const double u =
          draw_uniform(options.key, block.sample, block.group, options.layer, static_cast<int>(head), pi.key[j]);
      const bool expected = static_cast<int64_t>(pi.key.size()) <= options.picks || u < pi.pi[j],
                 doubt = std::abs(std::log(u / pi.pi[j])) < 1e-5;
      const bool picked = at < got.start[list + 1] && got.key[static_cast<size_t>(at)] == pi.key[j];
      ASSERT_TRUE(doubt || picked == expected) << "block " << i << " head " << head << " key " << pi.key[j];
      sum.doubtful += doubt, sum.picks += picked;
      if (!picked) continue;
      EXPECT_NEAR(got.log_pi[static_cast<size_t>(at)], std::log(pi.pi[j]), 1e-5);
      ++at;
    }
    EXPECT_EQ(at, got.start[list + 1]) << "keys outside the domain, or not ascending";
  }
}

template <class Element>
void expect_the_defined_picks(DrawMode mode) {
  Decided sum;
  for (reference::StreamShape shape : std::vector<reference::StreamShape>{
           {.lengths = {70, 1, 130}, .window = 3, .width = 32},
           {.lengths = {200}, .block = 4, .window = 2, .width = 16, .causal = false},
           {.lengths = {129, 20}, .block = 3, .window = 0, .width = 64, .excluded = {0, 5, 63, 64, 127, 128}}})
    for (const int64_t share : {1, 5, 0}) {
      shape.share = share * shape.block;
      expect_defined<Element>(shape,
                              {.mode = mode, .picks = 6, .heads = share == 5 ? 6 : 3, .layer = 2, .key = {77, 5}}, sum);
    }
  EXPECT_GT(sum.picks, 1000);
  EXPECT_LT(sum.doubtful, 50);
}

TEST(Draw, PicksWhatTheDefinitionPicksInFloat) { expect_the_defined_picks<float>(DrawMode::Poisson); }
TEST(Draw, PicksWhatTheDefinitionPicksInBfloat16) { expect_the_defined_picks<uint16_t>(DrawMode::Poisson); }
TEST(Draw, UniformlyToo) { expect_the_defined_picks<float>(DrawMode::Uniform); }

TEST(Draw, TakesTheEndsOfItsOptions) {
  Decided sum;
  for (const double floor : {0.0, 1.0})
    for (const int64_t picks : {1, 20})
      expect_defined<float>({.lengths = {90}, .window = 1, .share = 0, .width = 16},
                            {.picks = picks, .floor = floor, .heads = 2, .key = {3, 4}}, sum);
  EXPECT_GT(sum.picks, 100);
}

// More heads than two Philox blocks serve.
TEST(Draw, TakesManyHeads) {
  Decided sum;
  for (const int heads : {8, 9, 32})
    expect_defined<uint16_t>({.lengths = {140}, .window = 1, .share = 0, .width = 16},
                             {.picks = 3, .heads = heads, .key = {3, 4}}, sum);
  EXPECT_GT(sum.picks, 10000);
}

// More keys than one tile takes: a list goes on where the tile before ended.
TEST(Draw, ListsGoOnOverTiles) {
  Decided sum;
  expect_defined<float>({.lengths = {9000}, .block = 3000, .window = 0, .share = 0, .width = 16, .causal = false},
                        {.picks = 100, .floor = 0.5, .heads = 2, .key = {3, 4}}, sum);
  EXPECT_GT(sum.picks, 400);
}

// Blocks that take all they may see, of few keys or of many: what they do not see is not noted.
TEST(Draw, RowsThatTakeAllNoteWhatTheySee) {
  Decided sum;
  for (const int block : {1, 8, 64}) {
    expect_defined<uint16_t>({.lengths = {64 * block}, .block = block, .window = 0, .share = 0, .width = 16},
                             {.picks = 32, .heads = 2, .key = {3, 4}}, sum);
    EXPECT_EQ(sum.counted, 1) << block;
  }
  EXPECT_GT(sum.picks, 1000);
}

// Every warp has a chunk of its own; more are asked for.
TEST(Draw, NotesThatFindNoRoomAreCountedAgain) {
  Decided sum;
  const DrawOptions options{.picks = 140, .heads = 3, .key = {3, 4}};
  const reference::StreamShape shape{.lengths = {150}, .window = 1, .share = 0, .width = 16, .causal = false};
  for (const int64_t chunks : {12, 13, 40}) {
    expect_defined<uint16_t>(shape, options, sum, chunks);
    EXPECT_EQ(sum.counted, 2) << chunks;
    expect_defined<float>(shape, options, sum, chunks);
  }
  EXPECT_GT(sum.picks, 1000);
  expect_defined<uint16_t>(shape, options, sum, 5000);
  EXPECT_EQ(sum.counted, 1);
}

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Draw, RefusesWhatItCannot) {
  DeviceScanInput<float> in;
  in.width = 16, in.num_tiles = 3;
  EXPECT_EQ(message_of([&] { count_picks(Stream{}, in, {.picks = 1}, {}, nullptr); }),
            "draw: 0 chunks for the notes of 12 warps");
  in.width = 24;
  EXPECT_THROW(count_picks(Stream{}, in, {.picks = 1}, {}, nullptr), Error);
  in.width = 32;
  EXPECT_THROW(count_picks(Stream{}, in, {.picks = 1, .heads = 33}, {}, nullptr), Error);
  EXPECT_THROW(count_picks(Stream{}, in, {.mode = DrawMode::TopK, .picks = 1}, {}, nullptr), Error);
  in.width = 8;
  EXPECT_THROW(sketch_scan<float>(Stream{}, in, nullptr, nullptr), Error);
}

}  // namespace
}  // namespace smartbird::kernels
