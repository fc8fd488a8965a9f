// Pass A (sketch_scan.h) on a GPU, in float or with bfloat16 sketches; sums in float within 1,024 keys, in double beyond.
// A row's bits do not depend on the rows beside it, on threads or on how many rows are scanned together.
#pragma once

#include "kernels/device_stream.h"
#include "kernels/scan_tiles.h"

namespace smartbird::kernels {

// Pointers to the GPU's memory. Element: float, or uint16_t for the bits of bfloat16.
template <class Element>
struct DeviceScanInput {
  const Element* queries = nullptr;   // [Q, M], 16-byte aligned
  const Element* keys = nullptr;      // [N, M], stream order, 16-byte aligned
  int64_t num_keys = 0;               // N
  int64_t width = 0;                  // M: 16, 32 or 64
  float scale = 1;                    // τ / sqrt(M), positive
  const ScanBlock* blocks = nullptr;  // [Q]
  const int64_t* excluded = nullptr;  // [num_excluded], ascending; null if there are none
  int64_t num_excluded = 0;
  // scan_tiles of the blocks
  const ScanTile* tiles = nullptr;
  const ScanGroup* groups = nullptr;
  int64_t num_tiles = 0, num_groups = 0;
};

// Floats that sketch_scan works in.
[[nodiscard]] inline int64_t sketch_scan_floats(int64_t tiles) { return tiles * kMostSums * kTileRows * 2; }

// lse [Q]; memory [sketch_scan_floats(tiles)]. Errors: ErrorKind::Shape for another width.
template <class Element>
void sketch_scan(Stream stream, const DeviceScanInput<Element>& input, float* memory, double* lse);

}  // namespace smartbird::kernels
