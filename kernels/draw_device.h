// Pass B (draw.h) on a GPU: Poisson and uniform picks by the rules and random numbers of the CPU, the score in float or from
// bfloat16 sketches. count_picks goes over the scores, notes the picks and says how long each list is; the host adds the lengths
// up, the one time that it waits for the GPU, and gives memory; write_picks fills it from the notes, keys ascending in each
// list. Where the room for notes did not do, the host gives more and counts again: the picks are the same.
#pragma once

#include "kernels/draw.h"
#include "kernels/sketch_scan_device.h"

namespace smartbird::kernels {

inline constexpr int kMostDeviceHeads = 32;

// Memory for notes: of a row and a key, the heads that picked it. Warps of 16 rows, four a tile, take it by chunks.
inline constexpr int kDrawWarps = 4, kNotesOfChunk = 128;
struct DeviceDrawNotes {
  int64_t chunks = 0;                           // at least one a warp
  int32_t* taken = nullptr;                     // [1]: chunks that were asked for; beyond `chunks`, notes are missing
  int32_t *count = nullptr, *next = nullptr;    // [chunks]
  uint32_t *place = nullptr, *heads = nullptr;  // [chunks, 128], and
  float* chance = nullptr;                      // π
};
// Chunks that will do, but for odd chance, for `rows` blocks in `tiles` tiles.
[[nodiscard]] int64_t draw_chunks(const DrawOptions& options, int64_t rows, int64_t tiles);

struct DeviceDrawInput {
  const double* lse = nullptr;   // [Q], from sketch_scan
  const float* least = nullptr;  // [Q], draw_least of each block
  int32_t* in_tile = nullptr;    // memory: picks by [tile, 64 rows, head]; count_picks fills it
  DeviceDrawNotes notes;
};

// What every key of a block has at least: log2(K ε / |E|); +inf where the block takes all of E.
[[nodiscard]] float draw_least(const DrawOptions& options, int64_t domain);

// DrawMode::Uniform: with input.scale 0 and lse = log |E|. lengths [Q · heads]: picks of each list, right if
// notes.taken <= notes.chunks. ErrorKind::Shape for another width, more heads than kMostDeviceHeads, another
// mode, or fewer chunks than warps.
void count_picks(Stream stream, const DeviceScanInput<float>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, int32_t* lengths);
void count_picks(Stream stream, const DeviceScanInput<uint16_t>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, int32_t* lengths);
// By the notes of count_picks. start [Q · heads + 1]: where lists begin; key and log_pi [picks].
void write_picks(Stream stream, const ScanTile* tiles, int64_t num_tiles, const DrawOptions& options,
                 const DeviceDrawInput& draw, const int64_t* start, int32_t* key, float* log_pi);

}  // namespace smartbird::kernels
