#include "train/checkpoint_options.h"

#include "config/parse.h"
#include "core/error.h"

namespace smartbird {
namespace {

ParsedOptions parse(const std::string& folder) { return parse_options({"--config", folder + "/config.ini"}, nullptr); }

}  // namespace

Options checkpoint_options(const std::string& folder) { return parse(folder).options; }

std::vector<std::string> newer_options_warning(const std::string& folder) {
  std::string names;
  int count = 0;
  for (const auto& [name, source] : parse(folder).source)
    if (source == "default" && ++count <= 8) names += (names.empty() ? "" : ", ") + name;
  if (count > 8) names += join(" and ", count - 8, " more");
  if (count == 0) return {};
  return {join(folder, "/config.ini is of an older smartbird, which did not have ", names,
               "; the defaults of this one count where nothing else is given")};
}

}  // namespace smartbird
