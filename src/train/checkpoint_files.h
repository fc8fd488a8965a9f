// Files and folders of a checkpoint on disk: written aside, fsynced, renamed; hashed. All errors are ErrorKind::Io.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace smartbird {

[[nodiscard]] std::string read_text(const std::filesystem::path& path);
void write_text(const std::filesystem::path& path, const std::string& text);    // fsynced
void replace_text(const std::filesystem::path& path, const std::string& text);  // written aside, then renamed
void sync_folder(const std::filesystem::path& folder);
// Makes a finished folder visible as `final`. A folder of that name is exchanged in one step and then deleted, so that a
// good one is there at every instant (where the file system cannot exchange: all but the instant between two renames).
void publish(const std::filesystem::path& finished, const std::filesystem::path& final);

[[nodiscard]] uint64_t hash_file(const std::filesystem::path& path);  // XXH3, 64 bits
[[nodiscard]] std::string hash_text(uint64_t hash);                   // 16 hex digits

[[nodiscard]] std::string step_name(int64_t step);  // "step_00012000"
// The step that root/latest names; the largest number where it names none.
[[nodiscard]] int64_t latest_step(const std::filesystem::path& root);
// The step folders in `root`, newest first.
[[nodiscard]] std::map<int64_t, std::filesystem::path, std::greater<>> step_folders(const std::filesystem::path& root);

}  // namespace smartbird
