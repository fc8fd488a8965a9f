// Picks of sixteen neighbouring rows on a GPU as one list: the units that any of them picks, each once, sixteen a step, and
// which of the sixteen each row picks. So a tile of rows reads a key once for all of them (attention_tiles.h).
#pragma once

#include <cstdint>

#include "kernels/device_stream.h"

namespace smartbird::kernels {

inline constexpr int64_t kUnitedRows = 16, kUnitedKeys = 16;  // of a list, and of a step

// As in AttentionInput. Rows of a tile that pick one token with one head pick one unit; a list that ascends by tokens is
// united best.
struct DevicePickLists {
  int64_t rows = 0;  // T
  int pick_heads = 1;
  const int64_t* row_block = nullptr;   // [T]
  const int64_t* pick_start = nullptr;  // [Q · pick_heads + 1]
  const int32_t* pick_token = nullptr;  // [picks]
  const int32_t* pick_unit = nullptr;   // [picks]
};
// Lists of all tiles: tile · pick_heads + pick head.
[[nodiscard]] inline int64_t united_lists(int64_t rows, int pick_heads) {
  return (rows + kUnitedRows - 1) / kUnitedRows * pick_heads;
}

// steps [lists] of every list.
void count_united_steps(Stream stream, const DevicePickLists& lists, int64_t* steps);
// start [lists + 1] in steps -> unit [steps · 16], -1 beyond the end of a list; key_bits [steps · 16]: bit k of row r's
// number is set where row r picks the step's key k. A row's picks come in the order of its own list.
void pick_unite(Stream stream, const DevicePickLists& lists, const int64_t* start, int32_t* unit, uint16_t* key_bits);

}  // namespace smartbird::kernels
