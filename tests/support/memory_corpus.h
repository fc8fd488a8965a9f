// A corpus in memory for tests of what reads one: document d has the given length and tokens d, d + 1, ... (mod 250).
#pragma once

#include <numeric>
#include <vector>

#include "data/corpus.h"
#include "data/sampler.h"

namespace smartbird::testing {

// Documents of these lengths in three classes, and a batch of all of them, each whole.
struct WholeDocuments {
  explicit WholeDocuments(const std::vector<int64_t>& lengths) {
    for (int64_t length : lengths) {
      const int64_t i = static_cast<int64_t>(documents.size());
      documents.push_back({.num_tokens = length, .label = static_cast<int32_t>(i % 3)});
      batch.push_back({.number = 70 + i, .document = i, .begin = 0, .length = length});
    }
  }
  std::vector<Document> documents;
  std::vector<Sample> batch;
};

class MemoryCorpus : public Corpus {
 public:
  explicit MemoryCorpus(std::vector<Document> documents)
      : documents_(std::move(documents)), tokenizer_(make_byte_tokenizer()) {}

  [[nodiscard]] static std::vector<Document> of_lengths(const std::vector<int64_t>& lengths) {
    std::vector<Document> out;
    for (int64_t length : lengths) out.push_back({.num_tokens = length});
    return out;
  }
  [[nodiscard]] static int64_t id(int64_t document, int64_t position) { return (document + position) % 250; }

  [[nodiscard]] int64_t num_documents() const override { return static_cast<int64_t>(documents_.size()); }
  [[nodiscard]] Document document(int64_t index) const override { return documents_[static_cast<size_t>(index)]; }
  [[nodiscard]] int64_t num_tokens() const override {
    return std::accumulate(documents_.begin(), documents_.end(), int64_t{0},
                           [](int64_t sum, const Document& d) { return sum + d.num_tokens; });
  }
  void read(int64_t document, int64_t begin, std::span<int32_t> ids) const override {
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<int32_t>(id(document, begin + static_cast<int64_t>(i)));
  }
  void read_target_mask(int64_t document, int64_t begin, std::span<uint8_t> counts) const override {
    for (size_t i = 0; i < counts.size(); ++i)
      counts[i] = (document + begin + static_cast<int64_t>(i)) % 5 != uncounted;
  }
  [[nodiscard]] const Tokenizer& tokenizer() const override { return *tokenizer_; }
  [[nodiscard]] const std::vector<std::string>& classes() const override { return classes_; }

  int64_t uncounted = -1;  // tokens whose (document + position) is this, mod 5, count as no target

 private:
  std::vector<Document> documents_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<std::string> classes_;
};

}  // namespace smartbird::testing
