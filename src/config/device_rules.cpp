// Widths and modes that the kernels for a GPU have.
#include "config/device_rules.h"

#include <algorithm>

#include "config/rules.h"
#include "core/error.h"

namespace smartbird {

std::string device_errors(const Options& o) {
  if (o.run.device != "cuda") return "";
  std::string errors;
  const auto rule = [&](bool holds, const auto&... parts) {
    if (!holds) errors += join(errors.empty() ? "" : "\n", "run.device = cuda: ", parts...);
  };
  const auto one_of_these = [](int64_t x, std::initializer_list<int64_t> these) {
    return std::find(these.begin(), these.end(), x) != these.end();
  };
  const bool samples = has_sparse_layer(o);
  rule(o.run.dtype == "float32", "run.dtype = ", o.run.dtype, ", a GPU trains in float32");
  rule(one_of_these(head_width(o.model), {32, 64, 128}), "heads are ", head_width(o.model),
       " wide, its kernels take 32, 64 or 128; change model.heads or model.head_width");
  rule(!samples || one_of_these(o.sketch.width, {16, 32, 64}), "sketch.width = ", o.sketch.width,
       ", its kernels take 16, 32 or 64");
  rule(!samples || o.attention.draw == "poisson" || o.attention.draw == "uniform" || o.attention.draw == "none",
       "attention.draw = ", o.attention.draw, ", a GPU draws poisson, uniform or none");
  const int64_t pick_heads = o.attention.pick_heads == "kv" ? kv_heads(o.model) : o.model.heads;
  rule(!samples || pick_heads <= 32, pick_heads,
       " heads pick on their own, at most 32 may; choose fewer kv heads with attention.pick_heads = kv");
  rule(o.memory.kv_dtype == "same", "memory.kv_dtype = ", o.memory.kv_dtype,
       ", a GPU keeps and fetches them as they are");
  return errors;
}

}  // namespace smartbird
