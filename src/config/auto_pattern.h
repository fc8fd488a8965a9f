// attention.pattern = auto: layers whose pattern, sparse or dense, is chosen when the run begins. What was chosen stands in
// the run's configuration from then on, so a resume, an evaluation or a fine-tuning finds no auto.
#pragma once

#include <string>

#include "config/parse.h"

namespace smartbird {

// Whether a layer of the model is of pattern "auto".
[[nodiscard]] bool has_auto_pattern(const Options& options);
// Every auto becomes `pattern`; `why` is added to where the option's value comes from.
void settle_auto_pattern(ParsedOptions& options, const std::string& pattern, const std::string& why);
// Every auto becomes what an earlier part of this run made of it; nothing where the two lists do not belong together.
void settle_auto_pattern_as(ParsedOptions& options, const Options& before);
// ErrorKind::Config where one is left, where nothing begins. command: for the sentence.
void refuse_auto_pattern(const Options& options, const std::string& command);
// What other options ask of layers that might become dense, one sentence a line; "" when nothing.
[[nodiscard]] std::string auto_pattern_errors(const Options& options);

}  // namespace smartbird
