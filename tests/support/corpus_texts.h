// What tests of readers compare: the documents of a corpus as text, its target masks and labels.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/parse.h"
#include "core/error.h"
#include "data/corpus.h"

namespace smartbird::testing {

// Data options with `arguments` on the command line.
inline DataOptions data_options(const std::vector<std::string>& arguments = {}) {
  return parse_options(arguments, nullptr).options.data;
}

inline std::vector<int32_t> ids_of(const Corpus& corpus, int64_t document) {
  std::vector<int32_t> ids(static_cast<size_t>(corpus.document(document).num_tokens));
  corpus.read(document, 0, ids);
  return ids;
}

// Each document as text, the separator as "|".
inline std::vector<std::string> texts_of(const Corpus& corpus) {
  std::vector<std::string> out;
  for (int64_t d = 0; d < corpus.num_documents(); ++d) {
    std::string& text = out.emplace_back();
    for (int32_t id : ids_of(corpus, d))
      text += id == corpus.tokenizer().separator_id() ? "|" : corpus.tokenizer().decode({&id, 1});
  }
  return out;
}

// Each document's target mask as digits.
inline std::vector<std::string> masks_of(const Corpus& corpus) {
  std::vector<std::string> out;
  for (int64_t d = 0; d < corpus.num_documents(); ++d) {
    std::vector<uint8_t> counts(static_cast<size_t>(corpus.document(d).num_tokens));
    corpus.read_target_mask(d, 0, counts);
    std::string& text = out.emplace_back();
    for (uint8_t count : counts) text += static_cast<char>('0' + count);
  }
  return out;
}

// Each document's label by name.
inline std::vector<std::string> labels_of(const Corpus& corpus) {
  std::vector<std::string> out;
  for (int64_t d = 0; d < corpus.num_documents(); ++d)
    out.push_back(corpus.classes().at(static_cast<size_t>(corpus.document(d).label)));
  return out;
}

// What is said of a shard that lacks one of its two files.
inline std::string half_missing(const std::string& file) {
  return join(file, " is missing (current folder ", std::filesystem::current_path().string(),
              "); a shard is PREFIX.bin with PREFIX.idx, as data tokenize writes");
}

}  // namespace smartbird::testing
