// Picks by key on a GPU: for every unit the picks that name it, in ascending order, so that the pass over keys adds in a fixed
// order without atomics. A stable radix sort of the picks by their unit, eight bits a pass; 33 million picks of 2^19 units take
// three passes of 16 to 20 bytes a pick.
#pragma once

#include <cstdint>

#include "kernels/device_stream.h"

namespace smartbird::kernels {

struct TransposedPicks {
  int64_t* start = nullptr;  // [U + 1]: where the picks of a unit begin
  int32_t* pick = nullptr;   // [picks]: indices into pick_unit
};

// Bytes of memory that pick_transpose works in.
[[nodiscard]] int64_t pick_transpose_bytes(int64_t picks);

// pick_unit [picks] with values in [0, units), in the GPU's memory as everything here. ErrorKind::Shape for 2^31 picks or units.
void pick_transpose(Stream stream, int64_t picks, int64_t units, const int32_t* pick_unit, void* memory,
                    TransposedPicks out);

}  // namespace smartbird::kernels
