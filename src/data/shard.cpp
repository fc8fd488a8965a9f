// Reading mapped shards.
#include "data/shard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace smartbird {

MappedFile::MappedFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  SB_CHECK(fd >= 0, Data, path, ": cannot be opened: ", std::strerror(errno));
  struct stat info {};
  fstat(fd, &info);
  size_ = info.st_size;
  void* mapped = size_ > 0 ? mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  close(fd);
  SB_CHECK(mapped != MAP_FAILED, Data, path, ": cannot be mapped: ", std::strerror(errno));
  data_ = static_cast<const char*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), static_cast<size_t>(size_));
}

Shard::Shard(const std::string& prefix) : bin_(std::make_unique<MappedFile>(prefix + ".bin")) {
  read_index(prefix + ".idx");
  read_sidecars(prefix);
}

void Shard::read_index(const std::string& path) {
  const MappedFile file(path);
  constexpr int64_t kHeader = 34;
  SB_CHECK(file.size() >= kHeader && std::memcmp(file.data(), "MMIDIDX\0\0", 9) == 0, Data, path,
           ": not a Megatron index (magic MMIDIDX); known shards are PREFIX.bin with PREFIX.idx");
  uint64_t version = 0, sequences = 0, entries = 0;
  std::memcpy(&version, file.data() + 9, 8);
  const int code = static_cast<unsigned char>(file.data()[17]);
  std::memcpy(&sequences, file.data() + 18, 8);
  std::memcpy(&entries, file.data() + 26, 8);
  SB_CHECK(version == 1, Data, path, ": version ", version, ", this binary reads 1");
  SB_CHECK(code == 8 || code == 4, Data, path, ": dtype code ", code, "; tokens must be u16 (8) or i32 (4)");
  token_bytes_ = code == 8 ? 2 : 4;
  const uint64_t most = static_cast<uint64_t>(file.size());
  SB_CHECK(sequences <= most && entries <= most && kHeader + 12 * sequences + 8 * entries <= most, Data, path, ": ", file.size(), " bytes are too short for ",
           sequences, " sequences and ", entries, " documents");
  length_.resize(sequences);
  offset_.resize(sequences);
  if (sequences > 0) std::memcpy(length_.data(), file.data() + kHeader, 4 * sequences);
  if (sequences > 0) std::memcpy(offset_.data(), file.data() + kHeader + 4 * sequences, 8 * sequences);
  for (size_t i = 0; i < sequences; ++i)
    SB_CHECK(length_[i] > 0 && offset_[i] >= 0 && offset_[i] + length_[i] * token_bytes_ <= bin_->size(), Data, path, ": sequence ", i, " has ", length_[i],
             " tokens at byte ", offset_[i], "; its .bin has ", bin_->size(), " bytes");
}

void Shard::read_sidecars(const std::string& prefix) {
  namespace fs = std::filesystem;
  const std::string path = prefix + ".json";
  SB_CHECK(fs::exists(path), Data, path, ": missing; it names the shard's tokenizer");
  std::ifstream in(path);
  const auto json = nlohmann::json::parse(in, nullptr, false);
  SB_CHECK(json.is_object() && json.contains("tokenizer"), Data, path, ": does not name a tokenizer");
  tokenizer_json_ = json["tokenizer"].dump();
  classes_ = json.value("classes", std::vector<std::string>{});
  const int64_t vocabulary = tokenizer_from_json(tokenizer_json_)->vocabulary(), largest = json.value("max_id", int64_t{0});
  SB_CHECK(largest < vocabulary, Data, prefix, ".bin: token id ", largest, " is beyond the vocabulary of ", vocabulary);
  if (fs::exists(prefix + ".labels")) {
    const MappedFile labels(prefix + ".labels");
    SB_CHECK(labels.size() == static_cast<int64_t>(4 * length_.size()), Data, prefix, ".labels: ", labels.size(), " bytes for ", length_.size(), " documents");
    labels_.resize(length_.size());
    if (labels.size() > 0) std::memcpy(labels_.data(), labels.data(), static_cast<size_t>(labels.size()));
  }
  if (!fs::exists(prefix + ".mask")) return;
  mask_ = std::make_unique<MappedFile>(prefix + ".mask");
  SB_CHECK(mask_->size() * token_bytes_ == bin_->size(), Data, prefix, ".mask: ", mask_->size(), " bytes for ", bin_->size() / token_bytes_, " tokens");
}

int32_t Shard::token(const char* at) const {
  if (token_bytes_ == 2) {
    uint16_t id = 0;
    std::memcpy(&id, at, 2);
    return id;
  }
  int32_t id = 0;
  std::memcpy(&id, at, 4);
  return id;
}

void Shard::read(int64_t document, int64_t begin, std::span<int32_t> ids) const {
  const char* at = bin_->data() + offset_[static_cast<size_t>(document)] + begin * token_bytes_;
  for (int32_t& id : ids) {
    id = token(at);
    at += token_bytes_;
  }
}

void Shard::read_mask(int64_t document, int64_t begin, std::span<uint8_t> counts) const {
  if (!mask_) return std::fill(counts.begin(), counts.end(), uint8_t{1});
  const char* at = mask_->data() + offset_[static_cast<size_t>(document)] / token_bytes_ + begin;
  std::memcpy(counts.data(), at, counts.size());
}

}  // namespace smartbird
