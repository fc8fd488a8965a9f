// Options taken over from another run: a fine-tuning run has the model of its checkpoint unless it says otherwise.
#pragma once

#include <string>
#include <vector>

#include "config/parse.h"

namespace smartbird {

// Copies every option of the named sections ("model", "sketch", ...) from `base` where `options` has its default.
void inherit_sections(ParsedOptions& options, const Options& base, const std::vector<std::string>& sections,
                      const std::string& source);

}  // namespace smartbird
