// What run.device = cuda cannot compute.
#pragma once

#include <string>

#include "config/options.h"

namespace smartbird {

// One sentence a line; empty when the options fit the device.
[[nodiscard]] std::string device_errors(const Options& options);

}  // namespace smartbird
