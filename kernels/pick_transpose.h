// Picks by key on a GPU: those of every unit in the order in which they came, so that the pass over keys adds in a fixed order
// without atomics. A stable radix sort of the picks by their unit, at most eight bits a pass; what a pick carries moves along, so that
// the pass over keys reads it in order. 33 million picks of 2^19 units take three passes of 28 bytes a pick.
#pragma once

#include <cstdint>

#include "kernels/device_stream.h"

namespace smartbird::kernels {

struct PicksByRow {
  const int32_t *unit = nullptr, *list = nullptr;  // [picks]: values in [0, units); any
  const float* log_pi = nullptr;                   // [picks]
};
struct PicksByUnit {
  int64_t* start = nullptr;  // [U + 1]: where the picks of a unit begin
  int32_t* list = nullptr;   // [picks]
  float* log_pi = nullptr;   // [picks]
};

// Bytes of memory that pick_transpose works in.
[[nodiscard]] int64_t pick_transpose_bytes(int64_t picks);

// All in the GPU's memory. ErrorKind::Shape for 2^31 picks or units.
void pick_transpose(Stream stream, int64_t picks, int64_t units, const PicksByRow& in, void* memory, PicksByUnit out);

}  // namespace smartbird::kernels
