// Raw text -> documents: one source is a file (.txt or anything else: one document; .jsonl; .tsv with a header line), a
// folder (its files, recursively, in name order) or a glob. For classify a folder of class folders gives every file the
// name of its folder as label and is cut into whole pieces of sequence_tokens; TSV and JSONL name their label column.
// Errors: ErrorKind::Data with file and line.
#pragma once

#include "config/options.h"
#include "data/shard.h"

namespace smartbird {

// Appends the documents of `path`. known: class names that fix the labels; empty = names are collected, sorted, and the
// labels numbered by finish_classes.
class TextReader {
 public:
  TextReader(std::string key, const DataOptions& options, const Tokenizer& tokenizer, std::vector<std::string> known_classes);
  void add(const std::string& path);
  [[nodiscard]] Documents finish();

 private:
  void add_file(const std::string& path, const std::string& label);
  void add_jsonl(const std::string& path);
  void add_tsv(const std::string& path);
  void add_document(const std::string& place, std::string_view prompt, std::string_view text, const std::string& label, bool has_prompt);

  std::string key_;
  const DataOptions& options_;
  const Tokenizer& tokenizer_;
  std::vector<std::string> known_;
  std::vector<std::string> label_names_;   // [documents]
  std::vector<std::string> places_;
  bool classify_;
  Documents out_;
};

}  // namespace smartbird
