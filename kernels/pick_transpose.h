// Picks by unit: a stable counting sort of the pick lists, so that dK/dV can be summed per unit in a fixed order.
#pragma once

#include <cstdint>
#include <vector>

namespace smartbird::kernels {

struct PicksByUnit {
  std::vector<int64_t> start;  // [units + 1]
  std::vector<int64_t> list;   // [picks] the list (block · pick_heads + head) that holds the pick, ascending per unit
  std::vector<int64_t> pick;   // [picks] its index in the pick arrays
};

[[nodiscard]] PicksByUnit pick_transpose(const int64_t* pick_start, int64_t lists, const int64_t* pick_unit,
                                         int64_t units);

}  // namespace smartbird::kernels
