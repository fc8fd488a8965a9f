// The values of attention.draw.
#pragma once

#include <string>

#include "kernels/draw.h"

namespace smartbird {

// Poisson for a name that is none of them.
[[nodiscard]] kernels::DrawMode draw_mode(const std::string& name);

}  // namespace smartbird
