// Weights, shard names, folders and globs of data sources.
#include "data/source_names.h"

#include <glob.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "core/error.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

constexpr double kLeastWeight = 1e-3, kMostWeight = 1e3;

// The part before one of the endings, "" when it has none of them.
std::string without_ending(const std::string& path, std::initializer_list<const char*> endings) {
  for (const std::string ending : endings)
    if (path.size() > ending.size() && path.ends_with(ending)) return path.substr(0, path.size() - ending.size());
  return "";
}

// A file beside PREFIX.idx that belongs to the shard.
bool is_sidecar(const std::string& path) {
  const std::string prefix = without_ending(path, {".bin", ".json", ".labels", ".mask"});
  return !prefix.empty() && fs::exists(prefix + ".idx");
}

// The shards below a folder; none when it holds none.
std::vector<std::string> shards_below(const std::string& key, const std::string& folder) {
  std::vector<std::string> prefixes;
  std::string other;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string path = entry->path().string();
    const bool hidden = entry->path().filename().string()[0] == '.';
    if (hidden && entry->is_directory()) entry.disable_recursion_pending();
    if (hidden || !entry->is_regular_file()) continue;
    if (const std::string prefix = without_ending(path, {".idx"}); !prefix.empty())
      prefixes.push_back(prefix);
    else if (other.empty() && !is_sidecar(path))
      other = path;
  }
  SB_CHECK(prefixes.empty() || other.empty(), Data, key, ": the folder ", folder, " holds shards and also ", other,
           "; name the shards and the text apart");
  std::sort(prefixes.begin(), prefixes.end());
  return prefixes;
}

}  // namespace

SourceEntry parse_source(const std::string& key, const std::string& text) {
  const size_t at = text.rfind('@');
  if (at == std::string::npos) return {text, 1};
  const char* digits = text.c_str() + at + 1;
  char* end = nullptr;
  const double weight = std::strtod(digits, &end);
  SB_CHECK(*end == '\0' && end != digits && weight >= kLeastWeight && weight <= kMostWeight, Config, key, ": in '",
           text, "' the weight after @ must be a number from ", kLeastWeight, " to ", kMostWeight,
           "; a path that holds an @ needs @1 behind it");
  return {text.substr(0, at), weight};
}

std::vector<std::string> glob_paths(const std::string& pattern) {
  glob_t found{};
  const int code = glob(pattern.c_str(), 0, nullptr, &found);
  const std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + (code == 0 ? found.gl_pathc : 0));
  globfree(&found);
  return paths;
}

std::vector<SourceName> expand_source(const std::string& key, const std::string& path) {
  if (fs::exists(path + ".idx")) return {{path, true}};
  const std::string prefix = without_ending(path, {".idx", ".bin"});
  if (!prefix.empty() && fs::is_regular_file(path)) return {{prefix, true}};
  std::vector<SourceName> names;
  if (fs::is_directory(path))
    for (const std::string& shard : shards_below(key, path)) names.push_back({shard, true});
  if (fs::exists(path)) return names.empty() ? std::vector<SourceName>{{path, false}} : names;
  const std::vector<std::string> matches = glob_paths(path);
  if (matches.empty()) return {{prefix.empty() ? path : prefix, !prefix.empty()}};  // opening it says what is missing
  for (const std::string& match : matches) {
    const std::string of = is_sidecar(match) ? match.substr(0, match.rfind('.')) : match;
    for (const SourceName& name : expand_source(key, of)) {
      const bool known =
          std::any_of(names.begin(), names.end(), [&](const SourceName& n) { return n.path == name.path; });
      if (!known) names.push_back(name);
    }
  }
  return names;
}

}  // namespace smartbird
