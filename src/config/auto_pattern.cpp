// The word in the list of patterns, and what does not go with it.
#include "config/auto_pattern.h"

#include <algorithm>

#include "config/rules.h"
#include "core/error.h"

namespace smartbird {
namespace {

constexpr const char* kAuto = "auto";

}  // namespace

bool has_auto_pattern(const Options& o) { return has_pattern(o, kAuto); }

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

void refuse_auto_pattern(const Options& o, const std::string& command) {
  SB_CHECK(!has_auto_pattern(o), Config, command,
           ": attention.pattern = auto is chosen when a run begins; give sparse, dense or window");
}

std::string auto_pattern_errors(const Options& o) {
  if (!has_auto_pattern(o)) return "";
  std::string errors;
  const auto rule = [&](bool holds, const auto&... parts) {
    if (!holds) errors += join(errors.empty() ? "" : "\n", "attention.pattern = auto ", parts...);
  };
  const auto needs_sparse = [&](bool is_set, const char* name, const auto& value, const char* cure) {
    rule(!is_set, "may make layers dense; ", name, " = ", value,
         " needs layers that stay sparse: set attention.pattern = sparse", cure);
  };
  rule(!has_pattern(o, "sparse"),
       "makes its layers sparse or dense together; it does not go with sparse in the same list");
  rule(o.attention.draw != "none" && o.attention.draw != "oracle",
       "chooses the faster of dense attention and a sample of it; attention.draw = ", o.attention.draw,
       " is none: set attention.pattern = sparse");
  rule(o.attention.picks > 0,
       "chooses the faster of dense attention and a sample of it; attention.picks = 0 leaves none: set "
       "attention.pattern = window");
  needs_sparse(o.attention.warmup_steps > 0, "attention.warmup_steps", o.attention.warmup_steps,
               ", or attention.warmup_steps = 0");
  needs_sparse(o.eval.draw != "same", "eval.draw", o.eval.draw, ", or eval.draw = same");
  needs_sparse(o.run.record_picks > 0, "run.record_picks", o.run.record_picks, ", or run.record_picks = 0");
  needs_sparse(o.train.freeze != "none", "train.freeze", o.train.freeze, "");
  return errors;
}

}  // namespace smartbird
