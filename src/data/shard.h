// Token shards in Megatron's format: PREFIX.bin (raw tokens) and PREFIX.idx (lengths, offsets, documents); both are
// memory-mapped. Beside them PREFIX.json holds {tokenizer, max_id, classes}; PREFIX.labels (i32 a document) and
// PREFIX.mask (u8 a token, 1 = counts as a target) exist where a task needs them. Layout of .idx: "MMIDIDX\0\0", u64
// version 1, u8 dtype, u64 sequences, u64 document entries, i32 lengths, i64 byte offsets, i64 document indices.
// Here every document is one sequence. Errors: ErrorKind::Data with the file and what does not fit.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace smartbird {

// Documents in memory, as text readers make them and the writer takes them.
struct Documents {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> counts;    // a token: 1 = counts as a target
  std::vector<int64_t> first{0};  // [documents + 1]
  std::vector<int32_t> labels;    // [documents], or empty
  std::vector<std::string> classes;
  [[nodiscard]] int64_t num_documents() const { return static_cast<int64_t>(first.size()) - 1; }
  void end_document() { first.push_back(static_cast<int64_t>(tokens.size())); }
};

class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  [[nodiscard]] const char* data() const { return data_; }
  [[nodiscard]] int64_t size() const { return size_; }

 private:
  const char* data_ = nullptr;
  int64_t size_ = 0;
};

class Shard {
 public:
  explicit Shard(const std::string& prefix);
  [[nodiscard]] int64_t num_documents() const { return static_cast<int64_t>(length_.size()); }
  [[nodiscard]] int64_t num_tokens(int64_t document) const { return length_[static_cast<size_t>(document)]; }
  [[nodiscard]] int32_t label(int64_t document) const {
    return labels_.empty() ? -1 : labels_[static_cast<size_t>(document)];
  }
  void read(int64_t document, int64_t begin, std::span<int32_t> ids) const;  // an id beyond the vocabulary is an error
  void read_mask(int64_t document, int64_t begin, std::span<uint8_t> counts) const;
  [[nodiscard]] const std::string& tokenizer_json() const { return tokenizer_json_; }
  [[nodiscard]] const std::vector<std::string>& classes() const { return classes_; }

 private:
  void read_index(const std::string& path);
  void read_description(const std::string& path);
  void read_labels(const std::string& path);
  void read_sidecars();
  void check_id(int64_t id, int64_t document) const;
  [[nodiscard]] int32_t token(const char* at) const;
  std::string prefix_;
  std::unique_ptr<MappedFile> bin_, mask_;
  std::vector<int32_t> length_, labels_;
  std::vector<int64_t> offset_;  // bytes
  int64_t token_bytes_ = 2, vocabulary_ = 0;
  std::string tokenizer_json_;
  std::vector<std::string> classes_;
};

// Refuses a prefix whose shard exists (ErrorKind::Data), before the work of making its documents.
void check_new_shard(const std::string& prefix);
// Written aside and renamed, .idx last: a shard exists wholly or not at all. Refuses to overwrite.
void write_shard(const std::string& prefix, const Documents& documents, const Tokenizer& tokenizer);

}  // namespace smartbird
