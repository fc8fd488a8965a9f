// Text <-> value for every option type, and one description of an option, gathered from Options::visit.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/options.h"

namespace smartbird {

// One option of a particular Options object.
struct OptionEntry {
  std::string name, type, default_text, help;  // type: of an element, where the option is a list
  Rule rule;
  std::function<std::string()> text;  // current value
  // Sets the value and returns "", or leaves it and returns what is wrong ("expected an integer"). Empty text is a
  // value only where the default is empty.
  std::function<std::string(const std::string&)> set;
};

// Every option of `options` (which must outlive the entries), in order of declaration.
[[nodiscard]] std::vector<OptionEntry> entries_of(Options& options);
[[nodiscard]] std::string describe(const Rule& rule);  // "at least 0", "a | b", ""
// What to say after an unknown name: "; did you mean 'DASHESname'?", or where to look if none is close.
[[nodiscard]] std::string advice(const std::string& name, const std::vector<OptionEntry>& entries,
                                 const std::string& dashes = "");

}  // namespace smartbird
