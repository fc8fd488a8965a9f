#include "train/checkpoint_options.h"

#include <cstdio>

#include "config/parse.h"
#include "core/error.h"

namespace smartbird {
namespace {

ParsedOptions parse(const std::string& folder) { return parse_options({"--config", folder + "/config.ini"}, nullptr); }

}  // namespace

Options checkpoint_options(const std::string& folder) { return parse(folder).options; }

std::vector<std::string> options_since(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& [name, source] : parse(folder).source)
    if (source == "default") names.push_back(name);
  return names;
}

void warn_of_options_since(const std::string& folder) {
  constexpr size_t kMost = 8;
  const std::vector<std::string> names = options_since(folder);
  if (names.empty()) return;
  std::string listed;
  for (size_t i = 0; i < std::min(kMost, names.size()); ++i) listed += (i > 0 ? ", " : "") + names[i];
  if (names.size() > kMost) listed += join(" and ", names.size() - kMost, " more");
  std::fprintf(
      stderr,
      "warning: %s/config.ini is of an older smartbird, which did not have %s; where nothing else is given the "
      "defaults of this one count\n",
      folder.c_str(), listed.c_str());
}

}  // namespace smartbird
