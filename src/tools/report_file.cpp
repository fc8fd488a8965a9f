// Checking and writing the file of a report.
#include "tools/report_file.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "train/checkpoint_files.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

fs::path end_of_links(const std::string& path) {
  std::error_code missing;
  const fs::path end = fs::canonical(path, missing);
  return missing ? fs::absolute(path) : end;
}

bool is_special(const fs::path& path) { return fs::exists(path) && !fs::is_regular_file(path); }

}  // namespace

void check_report_file(const std::string& option, const std::string& path) {
  if (path.empty()) return;
  const fs::path target = end_of_links(path), aside = target.string() + ".tmp";
  bool good = false;
  if (is_special(target)) {
    good = !fs::is_directory(target) && ::access(target.c_str(), W_OK) == 0;
  } else {
    good = std::ofstream(aside, std::ios::app).good();
    std::error_code ignored;
    fs::remove(aside, ignored);
  }
  SB_CHECK(good, Io, option, "=", path, " cannot be written; name a file in a folder that exists and is writable");
}

void write_report_file(const std::string& path, const std::string& text) {
  const fs::path target = end_of_links(path);
  if (!is_special(target)) return replace_text(target, text);
  std::ofstream file(target);
  file << text << std::flush;
  SB_CHECK(file.good(), Io, path, ": write failed");
}

}  // namespace smartbird
