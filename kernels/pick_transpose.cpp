// Stable counting sort of the picks by unit.
#include "kernels/pick_transpose.h"

#include <cstddef>

namespace smartbird::kernels {

PicksByUnit pick_transpose(const int64_t* pick_start, int64_t lists, const int64_t* pick_unit, int64_t units) {
  const int64_t first = lists > 0 ? pick_start[0] : 0, last = lists > 0 ? pick_start[lists] : 0;
  PicksByUnit out;
  out.start.assign(static_cast<size_t>(units) + 1, 0);
  out.list.resize(static_cast<size_t>(last - first));
  out.pick.resize(out.list.size());
  for (int64_t i = first; i < last; ++i) ++out.start[static_cast<size_t>(pick_unit[i]) + 1];
  for (size_t unit = 0; unit < static_cast<size_t>(units); ++unit) out.start[unit + 1] += out.start[unit];
  std::vector<int64_t> next(out.start.begin(), out.start.end() - 1);
  for (int64_t list = 0; list < lists; ++list)
    for (int64_t i = pick_start[list]; i < pick_start[list + 1]; ++i) {
      const size_t at = static_cast<size_t>(next[static_cast<size_t>(pick_unit[i])]++);
      out.list[at] = list;
      out.pick[at] = i;
    }
  return out;
}

}  // namespace smartbird::kernels
