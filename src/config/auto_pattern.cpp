// The word in the list of patterns, and what does not go with it.
#include "config/auto_pattern.h"

#include <algorithm>

#include "core/error.h"

namespace smartbird {
namespace {

constexpr const char* kAuto = "auto";

}  // namespace

bool has_auto_pattern(const Options& o) {
  return std::find(o.attention.pattern.begin(), o.attention.pattern.end(), kAuto) != o.attention.pattern.end();
}

void settle_auto_pattern(ParsedOptions& parsed, const std::string& pattern, const std::string& why) {
  std::vector<std::string>& patterns = parsed.options.attention.pattern;
  std::replace(patterns.begin(), patterns.end(), std::string(kAuto), pattern);
  parsed.source["attention.pattern"] += why;
}

void settle_auto_pattern_as(ParsedOptions& parsed, const Options& before) {
  std::vector<std::string>& patterns = parsed.options.attention.pattern;
  const std::vector<std::string>& then = before.attention.pattern;
  if (!has_auto_pattern(parsed.options) || patterns.size() != then.size()) return;
  for (size_t i = 0; i < patterns.size(); ++i)
    if (patterns[i] == kAuto && then[i] != "window") patterns[i] = then[i];
  parsed.source["attention.pattern"] += ", auto: as the run began";
}

std::string auto_pattern_errors(const Options& o) {
  if (!has_auto_pattern(o)) return "";
  std::string errors;
  const auto rule = [&](bool holds, const auto&... parts) {
    if (!holds)
      errors += join(errors.empty() ? "" : "\n", "attention.pattern = auto may make layers dense, ", parts...);
  };
  const auto& patterns = o.attention.pattern;
  rule(std::find(patterns.begin(), patterns.end(), "sparse") == patterns.end(),
       "all alike; it does not go with sparse in the same list");
  rule(o.attention.draw != "none" && o.attention.draw != "oracle", "to save time; attention.draw = ", o.attention.draw,
       " is not chosen for its time; set attention.pattern = sparse");
  rule(o.attention.warmup_steps == 0, "and attention.warmup_steps = ", o.attention.warmup_steps,
       " is of sparse ones; set attention.pattern = sparse, or attention.warmup_steps = 0");
  rule(o.eval.draw == "same", "and eval.draw = ", o.eval.draw,
       " is of sparse ones; set attention.pattern = sparse, or eval.draw = same");
  rule(o.run.record_picks == 0, "which leave no picks for run.record_picks = ", o.run.record_picks,
       "; set attention.pattern = sparse");
  rule(o.train.freeze == "none", "which leave train.freeze = ", o.train.freeze,
       " no sketch to train; set attention.pattern = sparse");
  return errors;
}

}  // namespace smartbird
