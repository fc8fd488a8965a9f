// Pass B (draw.h) on a GPU: Poisson and uniform picks by the rules and random numbers of the CPU, the score in float or from
// bfloat16 sketches. count_picks goes over the scores, notes the picks and says how long each list is; the host adds the lengths
// up, the one time that it waits for the GPU, and gives memory; write_picks fills it from the notes, keys ascending in each
// list. A tile with more picks than there is room for notes is gone over again: the picks are the same.
#pragma once

#include "kernels/draw.h"
#include "kernels/sketch_scan_device.h"

namespace smartbird::kernels {

inline constexpr int kMostDeviceHeads = 32;

// Memory for the picks that count_picks meets: of every tile, four warps of 16 rows, `capacity` each.
inline constexpr int kDrawWarps = 4;
struct DeviceDrawNotes {
  int64_t capacity = 0;
  int32_t* met = nullptr;  // [tiles, 4]: how many there were, noted or not
  uint32_t* place =
      nullptr;  // [tiles, 4, capacity] as key and chance: (row of the tile · heads + head) · 2^16 + number in the list
  int32_t* key = nullptr;
  float* chance = nullptr;  // π
};
// Room for twice the notes to be expected of rows that may pick from `domain` keys each.
[[nodiscard]] int64_t draw_capacity(const DrawOptions& options, int64_t domain);

struct DeviceDrawInput {
  const double* lse = nullptr;   // [Q], from sketch_scan
  const float* least = nullptr;  // [Q], draw_least of each block
  int32_t* in_tile = nullptr;    // memory: picks by [tile, 64 rows, head]; count_picks fills it
  DeviceDrawNotes notes;
};

// What every key of a block has at least: log2(K ε / |E|); +inf where the block takes all of E.
[[nodiscard]] float draw_least(const DrawOptions& options, int64_t domain);

// DrawMode::Uniform: with input.scale 0 and lse = log |E|. lengths [Q · heads]: picks of each list. ErrorKind::Shape for
// another width, more heads than kMostDeviceHeads or another mode.
template <class Element>
void count_picks(Stream stream, const DeviceScanInput<Element>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, int32_t* lengths);
// start [Q · heads + 1]: where lists begin; key and log_pi [picks].
template <class Element>
void write_picks(Stream stream, const DeviceScanInput<Element>& input, const DrawOptions& options,
                 const DeviceDrawInput& draw, const int64_t* start, int32_t* key, float* log_pi);

}  // namespace smartbird::kernels
