// Raw text -> documents: one source is a file (.txt or anything else: one document; .jsonl; .tsv with a header line), a
// folder (its files, recursively, in name order) or a glob. For classify a folder of class folders gives every file the
// name of its folder as label and is cut into whole pieces of sequence_tokens; TSV and JSONL name their label column.
// Errors: ErrorKind::Data with file and line.
#pragma once

#include <set>

#include "config/options.h"
#include "data/shard.h"

namespace smartbird {

// data.tokenizer, of words with the file data.vocabulary. Errors: ErrorKind::Config without it, Data with file and line.
[[nodiscard]] std::unique_ptr<Tokenizer> make_text_tokenizer(const std::string& key, const DataOptions& options);

// Collects the documents of several paths. Labels are names until finish numbers them by their place in `classes`
// (a label that is not among them: ErrorKind::Data).
class TextReader {
 public:
  TextReader(std::string key, const DataOptions& options, const Tokenizer& tokenizer);
  void add(const std::string& path);
  void collect_labels(std::set<std::string>& names) const;
  [[nodiscard]] Documents finish(const std::vector<std::string>& classes);

 private:
  void add_file(const std::string& path, const std::string& label);
  void add_jsonl(const std::string& path);
  void add_tsv(const std::string& path);
  void encode(const std::string& place, std::string_view text, std::vector<int32_t>& ids) const;
  void add_document(const std::string& place, std::string_view prompt, std::string_view text, const std::string& label,
                    bool has_prompt);

  std::string key_;
  const DataOptions& options_;
  const Tokenizer& tokenizer_;
  std::vector<std::string> label_names_;  // [documents]
  std::vector<std::string> places_;
  bool classify_;
  Documents out_;
};

}  // namespace smartbird
