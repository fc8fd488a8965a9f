// Writing config.ini, command.txt, env.txt and build.txt.
#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "core/build_info.h"
#include "core/error.h"
#include "train/checkpoint_files.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

// Names that launchers, NCCL and we use; among them are tokens and keys, which stay out.
bool may_record(const std::string& name) {
  const bool allowed = name == "OMP_NUM_THREADS" || name.starts_with("OMPI_") || name.starts_with("SLURM_") ||
                       name.starts_with("NCCL_") || name.starts_with("SMARTBIRD_");
  std::string upper = name;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto holds = [&](const char* word) { return upper.find(word) != std::string::npos; };
  return allowed && !holds("TOKEN") && !holds("JWT") && !holds("KEY") && !holds("SECRET") && !holds("PASS") &&
         !holds("TRANSPORTS");
}

std::string environment_text() {
  std::set<std::string> lines;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string line = *entry;
    if (may_record(line.substr(0, line.find('=')))) lines.insert(line);
  }
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace

void check_run_folder(const std::string& dir) {
  SB_CHECK(!dir.empty(), Config, "run.dir is empty; give --run.dir=FOLDER");
  std::error_code code;
  const bool exists = fs::exists(dir, code);
  SB_CHECK(!exists || fs::is_directory(dir), Io, "run.dir = ", dir, " is a file, not a folder");
  fs::path above = fs::absolute(dir);
  while (!fs::exists(above, code) && above.has_relative_path()) above = above.parent_path();
  SB_CHECK(fs::is_directory(above), Io, "run.dir = ", dir, " cannot be created: ", above.string(),
           " is a file, not a folder");
  SB_CHECK(::access(above.c_str(), W_OK | X_OK) == 0, Io, "run.dir = ", dir,
           exists ? " is not writable" : " cannot be created: " + above.string() + " is not writable");
}

RunLock::RunLock(const std::string& dir) {
  const std::string path = dir + "/lock";
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  SB_CHECK(file_ >= 0, Io, path, " cannot be opened: ", std::strerror(errno));
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  ::close(file_);
  fail(ErrorKind::Config, "run.dir = ", dir, " is in use by another run; wait for its end or choose another run.dir");
}

RunLock::~RunLock() { ::close(file_); }

std::unique_ptr<RunLock> prepare_run_folder(const std::string& dir, const std::string& config_ini,
                                            const std::string& command_line) {
  check_run_folder(dir);
  std::error_code code;
  fs::create_directories(dir, code);
  SB_CHECK(!code, Io, "run.dir = ", dir, " cannot be created: ", code.message());
  auto lock = std::make_unique<RunLock>(dir);
  const fs::path folder = dir, commands = folder / "command.txt";
  replace_text(folder / "config.ini", config_ini);
  replace_text(commands, (fs::exists(commands) ? read_text(commands) : "") + command_line + "\n");
  replace_text(folder / "env.txt", environment_text());
  replace_text(folder / "build.txt", build_text());
  return lock;
}

}  // namespace smartbird
