// The options that a checkpoint was made with.
#pragma once

#include <string>
#include <vector>

#include "config/options.h"

namespace smartbird {

// Of a checkpoint's folder, from its config.ini. Throws Error(Config) where that is no configuration of this program.
[[nodiscard]] Options checkpoint_options(const std::string& folder);
// A config.ini of this program names every option. One line if this one does not: an older program wrote it, and what came
// since counts by its default, which may not be what that program did.
[[nodiscard]] std::vector<std::string> newer_options_warning(const std::string& folder);

}  // namespace smartbird
