// That all ranks run the same thing: what one rank decides for all, and the comparison of what each one read for itself.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>

#include "comm/world.h"

namespace smartbird {

// The text that rank 0 chooses, on every rank. Collective.
[[nodiscard]] std::string chosen_by_root(Communicator& everyone, const std::function<std::string()>& choose);
// Throws on every rank, with the first rank that differs, unless `text` is the same on all. Collective.
void check_agreement(Communicator& everyone, const std::string& what, const std::string& text);

// After an update all ranks hold the same bits; ErrorKind::Comm names the first that does not. Collective.
void check_same_parameters(Communicator& everyone, int64_t step, const at::Tensor& parameters);

}  // namespace smartbird
