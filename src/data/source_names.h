// What one entry of data.train, data.valid or data.test stands for: PATH[@WEIGHT], where PATH is a shard (PREFIX,
// PREFIX.idx or PREFIX.bin), a text file, a folder of either kind, or a glob of any of these. Shards of a folder or glob
// come in name order, each once, whichever of their files were matched.
// Errors: ErrorKind::Config for a weight, ErrorKind::Data for a folder of both kinds.
#pragma once

#include <string>
#include <vector>

namespace smartbird {

struct SourceEntry {
  std::string path;
  double weight = 1;  // passes an epoch, from 0.001 to 1000
};
[[nodiscard]] SourceEntry parse_source(const std::string& key, const std::string& text);

struct SourceName {
  std::string path;
  bool is_shard = false;  // path is its PREFIX; else text, whether or not it exists
};
[[nodiscard]] std::vector<SourceName> expand_source(const std::string& key, const std::string& path);

// Existing paths that match, in name order.
[[nodiscard]] std::vector<std::string> glob_paths(const std::string& pattern);

}  // namespace smartbird
