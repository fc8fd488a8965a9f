// Durable small files and hashes.
#include "train/checkpoint_files.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>
#include <vector>

#include "core/error.h"

namespace smartbird {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  SB_CHECK(in, Io, path.string(), ": cannot be opened");
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), std::fclose);
  SB_CHECK(file, Io, path.string(), ": cannot be written: ", std::strerror(errno));
  SB_CHECK(std::fwrite(text.data(), 1, text.size(), file.get()) == text.size() && std::fflush(file.get()) == 0 &&
               fsync(fileno(file.get())) == 0,
           Io, path.string(), ": write failed: ", std::strerror(errno));
}

void replace_text(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path aside = path.string() + ".tmp";
  try {
    write_text(aside, text);
  } catch (const Error&) {  // a full disk: give back what was taken
    std::error_code ignored;
    std::filesystem::remove(aside, ignored);
    throw;
  }
  std::filesystem::rename(aside, path);
  sync_folder(path.parent_path());
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  SB_CHECK(fd >= 0, Io, folder.string(), ": cannot be opened: ", std::strerror(errno));
  const bool done = fsync(fd) == 0 || errno == EINVAL;  // some file systems cannot sync folders and say so
  const int error = errno;
  close(fd);
  SB_CHECK(done, Io, folder.string(), ": cannot be synced: ", std::strerror(error));
}

void publish(const std::filesystem::path& finished, const std::filesystem::path& final) {
  namespace fs = std::filesystem;
  const fs::path root = final.parent_path(), replaced = root / (".tmp_" + final.filename().string() + "_replaced");
  if (!fs::exists(final)) {
    fs::rename(finished, final);
  } else if (renameat2(AT_FDCWD, finished.c_str(), AT_FDCWD, final.c_str(), RENAME_EXCHANGE) == 0) {
    fs::rename(finished, replaced);
  } else {
    fs::rename(final, replaced);
    fs::rename(finished, final);
  }
  sync_folder(root);
  fs::remove_all(replaced);
}

uint64_t hash_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  SB_CHECK(in, Io, path.string(), ": cannot be opened");
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> buffer(1 << 20);
  while (in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    XXH3_64bits_update(state.get(), buffer.data(), static_cast<size_t>(in.gcount()));
  }
  SB_CHECK(!in.bad(), Io, path.string(), ": cannot be read");
  return XXH3_64bits_digest(state.get());
}

std::string hash_text(uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

std::string step_name(int64_t step) {
  char text[32];
  std::snprintf(text, sizeof text, "step_%08lld", static_cast<long long>(step));
  return text;
}

namespace {

int64_t step_of(const std::string& name) {
  const int64_t step = name.rfind("step_", 0) == 0 ? std::atoll(name.c_str() + 5) : -1;
  return step >= 0 && name == step_name(step) ? step : -1;
}

}  // namespace

int64_t latest_step(const std::filesystem::path& root) {
  std::string name;
  std::ifstream in(root / "latest");
  std::getline(in, name);
  const int64_t step = step_of(name);
  return step >= 0 ? step : std::numeric_limits<int64_t>::max();
}

std::map<int64_t, std::filesystem::path, std::greater<>> step_folders(const std::filesystem::path& root) {
  std::map<int64_t, std::filesystem::path, std::greater<>> found;
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    const int64_t step = step_of(entry.path().filename().string());
    if (step >= 0) found[step] = entry.path();
  }
  return found;
}

}  // namespace smartbird
