// The options that a checkpoint was made with.
#pragma once

#include <string>
#include <vector>

#include "config/options.h"

namespace smartbird {

// Of a checkpoint's folder, from its config.ini. Throws Error(Config) where that is no configuration of this program.
[[nodiscard]] Options checkpoint_options(const std::string& folder);
// A config.ini of this program names every option: those that this one does not name came since, and it says nothing of them.
[[nodiscard]] std::vector<std::string> options_since(const std::string& folder);
// Says on stderr that an older program wrote it; what came since counts by its default, which need not be what that program did.
void warn_of_options_since(const std::string& folder);

}  // namespace smartbird
