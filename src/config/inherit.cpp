// Copying options by name.
#include "config/inherit.h"

#include <algorithm>
#include <functional>
#include <map>

namespace smartbird {
namespace {

// Visits base, then the target: the first pass remembers where a value is, the second copies it.
struct Remember {
  std::map<std::string, const void*>& places;
  template <class T, class Default, class Rule>
  void operator()(const char* name, T& field, const Default&, const Rule&, const char*) {
    places[name] = &field;
  }
};

struct Copy {
  const std::map<std::string, const void*>& places;
  const std::function<bool(const std::string&)>& wanted;
  template <class T, class Default, class Rule>
  void operator()(const char* name, T& field, const Default&, const Rule&, const char*) {
    if (wanted(name)) field = *static_cast<const T*>(places.at(name));
  }
};

}  // namespace

void inherit_sections(ParsedOptions& options, const Options& base, const std::vector<std::string>& sections,
                      const std::string& source) {
  Options from = base;
  std::map<std::string, const void*> places;
  Remember remember{places};
  from.visit(remember);
  const std::function<bool(const std::string&)> wanted = [&](const std::string& name) {
    const std::string section = name.substr(0, name.find('.'));
    if (std::find(sections.begin(), sections.end(), section) == sections.end() || options.source[name] != "default")
      return false;
    options.source[name] = source;
    return true;
  };
  Copy copy{places, wanted};
  options.options.visit(copy);
}

}  // namespace smartbird
