// A corpus: documents of token ids from shards or raw text, behind one interface. Documents keep the order of their
// sources. Shards are memory-mapped; raw text is tokenised when opened. Ids are checked against the vocabulary when a
// source is opened (ErrorKind::Data names file, id and vocabulary). Reading a piece touches only that piece.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/options.h"
#include "text/tokenizer.h"

namespace smartbird {

struct Document {
  int64_t num_tokens = 0;
  int32_t label = -1;   // classify: class, else -1
  double weight = 1.0;  // passes over it an epoch
};

class Corpus {
 public:
  virtual ~Corpus() = default;
  [[nodiscard]] virtual int64_t num_documents() const = 0;
  [[nodiscard]] virtual Document document(int64_t index) const = 0;
  [[nodiscard]] virtual int64_t num_tokens() const = 0;
  // ids [length] = tokens [begin, begin + length) of a document.
  virtual void read(int64_t document, int64_t begin, std::span<int32_t> ids) const = 0;
  // counts [length]: 1 where the token, as a target, counts in loss and accuracy (prompt/response, recall), else 0.
  virtual void read_target_mask(int64_t document, int64_t begin, std::span<uint8_t> counts) const = 0;
  [[nodiscard]] virtual const Tokenizer& tokenizer() const = 0;
  [[nodiscard]] virtual const std::vector<std::string>& classes() const = 0;  // names of labels, may be empty
};

// Opens all sources of one option (`key` is its name, for messages). Raw text uses the tokenizer whose JSON is
// text_tokenizer, else that of the options; shards bring their own, which must agree. For classify, `classes` (of the
// training data or checkpoint) fixes the labels; empty = the sorted names found here. Documents of
// folder-of-class-folders longer than sequence_tokens are cut into whole pieces of that length, the rest dropped; other
// long documents of classify are truncated by the sampler.
[[nodiscard]] std::unique_ptr<Corpus> open_corpus(const std::string& key, const std::vector<std::string>& sources,
                                                  const DataOptions& options, const std::vector<std::string>& classes,
                                                  std::string text_tokenizer = "");

}  // namespace smartbird
