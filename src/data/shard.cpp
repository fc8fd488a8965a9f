// Reading mapped shards.
#include "data/shard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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

Shard::Shard(const std::string& prefix) : prefix_(prefix) {
  for (const char* ending : {".bin", ".idx"})
    SB_CHECK(std::filesystem::exists(prefix + ending), Data, prefix, ending, " is missing (current folder ",
             std::filesystem::current_path().string(),
             "); a shard is PREFIX.bin with PREFIX.idx, as data tokenize writes");
  bin_ = std::make_unique<MappedFile>(prefix + ".bin");
  read_index(prefix + ".idx");
  read_description(prefix + ".json");
  read_sidecars();
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
  SB_CHECK(sequences <= most && entries <= most && kHeader + 12 * sequences + 8 * entries <= most, Data, path, ": ",
           file.size(), " bytes are too short for ", sequences, " sequences and ", entries, " documents");
  length_.resize(sequences);
  offset_.resize(sequences);
  if (sequences > 0) std::memcpy(length_.data(), file.data() + kHeader, 4 * sequences);
  if (sequences > 0) std::memcpy(offset_.data(), file.data() + kHeader + 4 * sequences, 8 * sequences);
  for (size_t i = 0; i < sequences; ++i)
    SB_CHECK(length_[i] > 0 && offset_[i] >= 0 && offset_[i] <= bin_->size() - length_[i] * token_bytes_, Data, path,
             ": sequence ", i, " has ", length_[i], " tokens at byte ", offset_[i], "; its .bin has ", bin_->size(),
             " bytes");
}

void Shard::check_id(int64_t id, int64_t document) const {
  SB_CHECK(id >= 0 && id < vocabulary_, Data, prefix_, ".bin: token id ", id, " of document ", document,
           " is beyond the vocabulary of ", vocabulary_);
}

void Shard::read_description(const std::string& path) {
  SB_CHECK(std::filesystem::exists(path), Data, path, ": missing; it names the shard's tokenizer");
  std::ifstream in(path);
  const auto json = nlohmann::json::parse(in, nullptr, false);
  SB_CHECK(json.is_object() && json.contains("tokenizer"), Data, path, ": does not name a tokenizer");
  tokenizer_json_ = json["tokenizer"].dump();
  int64_t largest = -1;
  try {
    vocabulary_ = tokenizer_from_json(tokenizer_json_)->vocabulary();
    classes_ = json.value("classes", std::vector<std::string>{});
    largest = json.value("max_id", largest);
  } catch (const Error& e) {
    fail(ErrorKind::Data, path, ": ", e.what());
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::Data, path, ": classes must be a list of texts and max_id an integer");
  }
  SB_CHECK(largest < vocabulary_, Data, prefix_, ".bin: token id ", largest, " is beyond the vocabulary of ",
           vocabulary_);
  if (json.contains("max_id")) return;  // else every token is looked at
  for (int64_t document = 0; document < num_documents(); ++document) {
    std::vector<int32_t> ids(static_cast<size_t>(num_tokens(document)));
    read(document, 0, ids);
  }
}

void Shard::read_labels(const std::string& path) {
  const MappedFile labels(path);
  SB_CHECK(labels.size() == static_cast<int64_t>(4 * length_.size()), Data, path, ": ", labels.size(), " bytes for ",
           length_.size(), " documents");
  labels_.resize(length_.size());
  if (labels.size() > 0) std::memcpy(labels_.data(), labels.data(), static_cast<size_t>(labels.size()));
  for (size_t i = 0; i < labels_.size(); ++i)
    SB_CHECK(labels_[i] >= 0 && labels_[i] < static_cast<int64_t>(classes_.size()), Data, path, ": document ", i,
             " has label ", labels_[i], "; ", prefix_, ".json names ", classes_.size(), " classes");
}

void Shard::read_sidecars() {
  const std::string labels = prefix_ + ".labels", mask = prefix_ + ".mask";
  if (std::filesystem::exists(labels)) read_labels(labels);
  SB_CHECK(!labels_.empty() || classes_.empty() || length_.empty(), Data, labels, ": missing; ", prefix_,
           ".json names ", classes_.size(), " classes");
  if (!std::filesystem::exists(mask)) return;
  mask_ = std::make_unique<MappedFile>(mask);
  SB_CHECK(mask_->size() * token_bytes_ == bin_->size(), Data, mask, ": ", mask_->size(), " bytes for ",
           bin_->size() / token_bytes_, " tokens");
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
    check_id(id, document);
    at += token_bytes_;
  }
}

void Shard::read_mask(int64_t document, int64_t begin, std::span<uint8_t> counts) const {
  if (!mask_) return std::fill(counts.begin(), counts.end(), uint8_t{1});
  const char* at = mask_->data() + offset_[static_cast<size_t>(document)] / token_bytes_ + begin;
  std::copy_n(at, counts.size(), counts.begin());
}

}  // namespace smartbird
