// Writing shards.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "data/shard.h"

namespace smartbird {
namespace {

namespace fs = std::filesystem;

template <class T>
void put(std::ofstream& out, const T& value) {
  out.write(reinterpret_cast<const char*>(&value), sizeof value);
}

// Everything goes to PREFIX.x.tmp; the renames come last.
void write_aside(const std::string& path, const std::function<void(std::ofstream&)>& body) {
  std::ofstream out(path + ".tmp", std::ios::binary);
  SB_CHECK(out, Io, path, ".tmp: cannot be written");
  body(out);
  SB_CHECK(out.flush(), Io, path, ".tmp: write failed");
}

void write_index(std::ofstream& out, const Documents& d, bool small, int64_t token_bytes) {
  const uint64_t count = static_cast<uint64_t>(d.num_documents());
  out.write("MMIDIDX\0\0", 9);
  put(out, uint64_t{1});
  put(out, static_cast<uint8_t>(small ? 8 : 4));
  put(out, count);
  put(out, count + 1);
  for (size_t i = 0; i < count; ++i) put(out, static_cast<int32_t>(d.first[i + 1] - d.first[i]));
  for (size_t i = 0; i < count; ++i) put(out, d.first[i] * token_bytes);
  for (uint64_t i = 0; i <= count; ++i) put(out, static_cast<int64_t>(i));
}

void write_files(const std::string& prefix, const Documents& d, const Tokenizer& tokenizer) {
  SB_CHECK(d.num_documents() > 0, Data, prefix, ": there is no document to write");
  const fs::path folder = fs::path(prefix).parent_path();
  std::error_code code;
  if (!folder.empty()) fs::create_directories(folder, code);
  SB_CHECK(!code, Io, prefix, ": the folder ", folder.string(), " cannot be created: ", code.message());
  const bool small = tokenizer.vocabulary() < 65500,
             masked = std::find(d.counts.begin(), d.counts.end(), 0) != d.counts.end();
  write_aside(prefix + ".bin", [&](std::ofstream& out) {
    for (int32_t id : d.tokens) small ? put(out, static_cast<uint16_t>(id)) : put(out, id);
  });
  write_aside(prefix + ".idx", [&](std::ofstream& out) { write_index(out, d, small, small ? 2 : 4); });
  write_aside(prefix + ".json", [&](std::ofstream& out) {
    const int32_t largest = *std::max_element(d.tokens.begin(), d.tokens.end());
    out << nlohmann::json{{"tokenizer", nlohmann::json::parse(tokenizer.to_json())},
                          {"max_id", largest},
                          {"num_documents", d.num_documents()},
                          {"num_tokens", d.tokens.size()},
                          {"classes", d.classes}}
               .dump(1)
        << "\n";
  });
  std::vector<std::string> endings{".json"};
  if (!d.labels.empty()) {
    write_aside(prefix + ".labels", [&](std::ofstream& out) {
      for (int32_t label : d.labels) put(out, label);
    });
    endings.push_back(".labels");
  }
  if (masked) {
    write_aside(prefix + ".mask", [&](std::ofstream& out) {
      for (uint8_t counts : d.counts) put(out, counts);
    });
    endings.push_back(".mask");
  }
  for (const char* ending : {".labels", ".mask"}) fs::remove(prefix + ending);  // of a write that was cut off
  endings.push_back(".bin");
  endings.push_back(".idx");
  for (const std::string& ending : endings) fs::rename(prefix + ending + ".tmp", prefix + ending);
}

}  // namespace

void check_new_shard(const std::string& prefix) {
  SB_CHECK(!prefix.ends_with("/") && !fs::is_directory(prefix), Config, prefix,
           " is a folder; a shard's output is the beginning of its files' names, as in ", prefix,
           prefix.ends_with("/") ? "" : "/", "train");
  for (const char* ending : {".bin", ".idx"})
    SB_CHECK(!fs::exists(prefix + ending), Data, prefix, ending, " exists already; choose another output or remove it");
}

void write_shard(const std::string& prefix, const Documents& d, const Tokenizer& tokenizer) {
  check_new_shard(prefix);
  try {
    write_files(prefix, d, tokenizer);
  } catch (const Error&) {  // a full disk: give back what was taken
    std::error_code ignored;
    for (const char* ending : {".bin", ".idx", ".json", ".labels", ".mask"})
      fs::remove(prefix + ending + ".tmp", ignored);
    throw;
  }
}

}  // namespace smartbird
