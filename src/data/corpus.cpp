// Sources of one option behind one interface.
#include "data/corpus.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "data/shard.h"
#include "data/source_names.h"
#include "data/text_source.h"

namespace smartbird {
namespace {

// Sources keep their order; a document's number is its place in the whole.
class SourcesCorpus : public Corpus {
 public:
  struct Source {
    std::unique_ptr<Shard> shard;        // or
    std::unique_ptr<TextReader> reader;  // until all sources have shown their labels, then
    Documents documents;
    double weight = 1;
    int64_t first = 0, count = 0;  // document numbers
  };
  std::vector<Source> sources;
  std::unique_ptr<Tokenizer> own_tokenizer;
  std::string own_json;  // the tokenizer's, as the first source has it
  std::vector<std::string> class_names;
  int64_t documents = 0, tokens = 0;

  int64_t num_documents() const override { return documents; }
  int64_t num_tokens() const override { return tokens; }
  const Tokenizer& tokenizer() const override { return *own_tokenizer; }
  const std::vector<std::string>& classes() const override { return class_names; }

  Document document(int64_t index) const override {
    const Source& s = source_of(index);
    const size_t i = static_cast<size_t>(index - s.first);
    if (s.shard) return {s.shard->num_tokens(index - s.first), s.shard->label(index - s.first), s.weight};
    return {s.documents.first[i + 1] - s.documents.first[i], s.documents.labels.empty() ? -1 : s.documents.labels[i],
            s.weight};
  }
  void read(int64_t index, int64_t begin, std::span<int32_t> ids) const override {
    const Source& s = source_of(index);
    if (s.shard) return s.shard->read(index - s.first, begin, ids);
    const int64_t at = s.documents.first[static_cast<size_t>(index - s.first)] + begin;
    std::copy_n(s.documents.tokens.begin() + at, ids.size(), ids.begin());
  }
  void read_target_mask(int64_t index, int64_t begin, std::span<uint8_t> counts) const override {
    const Source& s = source_of(index);
    if (s.shard) return s.shard->read_mask(index - s.first, begin, counts);
    const int64_t at = s.documents.first[static_cast<size_t>(index - s.first)] + begin;
    std::copy_n(s.documents.counts.begin() + at, counts.size(), counts.begin());
  }

 private:
  const Source& source_of(int64_t index) const {
    SB_CHECK(index >= 0 && index < documents, Shape, "corpus: document ", index, " of ", documents);
    auto after =
        std::upper_bound(sources.begin(), sources.end(), index, [](int64_t i, const Source& s) { return i < s.first; });
    return *(after - 1);
  }
};

void adopt_tokenizer(SourcesCorpus& corpus, const std::string& json, const std::string& key, const std::string& path) {
  if (!corpus.own_tokenizer) corpus.own_tokenizer = tokenizer_from_json(json), corpus.own_json = json;
  if (json == corpus.own_json) return;
  const auto tokenizer = tokenizer_from_json(json);
  SB_CHECK(corpus.own_tokenizer->to_json() == tokenizer->to_json(), Data, key, ": ", path,
           " has another tokenizer than the sources before it (", tokenizer->describe(), ", before ",
           corpus.own_tokenizer->describe(), "); text takes data.tokenizer and data.vocabulary");
}

void open_shard(SourcesCorpus& corpus, SourcesCorpus::Source& source, const std::string& prefix, const std::string& key,
                bool classify) {
  source.shard = std::make_unique<Shard>(prefix);
  source.count = source.shard->num_documents();
  adopt_tokenizer(corpus, source.shard->tokenizer_json(), key, prefix);
  if (!classify) return;
  SB_CHECK(!source.shard->classes().empty(), Data, key, ": ", prefix,
           " has no labels, which data.task = classify needs; write it with data tokenize --task=classify");
  if (corpus.class_names.empty()) corpus.class_names = source.shard->classes();
  SB_CHECK(corpus.class_names == source.shard->classes(), Data, key, ": ", prefix, " has other classes than training");
}

// tokenizer_json: that of raw text, made for the first such source.
void read_text(SourcesCorpus& corpus, SourcesCorpus::Source& source, const std::string& path, const std::string& key,
               const DataOptions& options, std::string& tokenizer_json) {
  if (tokenizer_json.empty()) tokenizer_json = make_text_tokenizer(key, options)->to_json();
  adopt_tokenizer(corpus, tokenizer_json, key, path);
  source.reader = std::make_unique<TextReader>(key, options, *corpus.own_tokenizer);
  source.reader->add(path);
}

// Classes nobody has fixed are the sorted labels of all text sources together.
void number_labels(SourcesCorpus& corpus) {
  std::set<std::string> names;
  for (const auto& source : corpus.sources)
    if (source.reader) source.reader->collect_labels(names);
  if (corpus.class_names.empty()) corpus.class_names.assign(names.begin(), names.end());
  for (auto& source : corpus.sources) {
    if (!source.reader) continue;
    source.documents = source.reader->finish(corpus.class_names);
    source.count = source.documents.num_documents();
    source.reader.reset();
  }
}

// Gives every source its document numbers and drops the empty ones.
void number_documents(SourcesCorpus& corpus) {
  std::erase_if(corpus.sources, [](const auto& source) { return source.count == 0; });
  for (auto& source : corpus.sources) {
    source.first = corpus.documents;
    corpus.documents += source.count;
    for (int64_t i = 0; i < source.count; ++i)
      corpus.tokens += source.shard ? source.shard->num_tokens(i)
                                    : source.documents.first[static_cast<size_t>(i) + 1] -
                                          source.documents.first[static_cast<size_t>(i)];
  }
}

}  // namespace

std::unique_ptr<Corpus> open_corpus(const std::string& key, const std::vector<std::string>& names,
                                    const DataOptions& options, const std::vector<std::string>& classes,
                                    std::string text_tokenizer) {
  auto corpus = std::make_unique<SourcesCorpus>();
  corpus->class_names = classes;
  SB_CHECK(!names.empty(), Config, key, " is empty; give --", key, "=PATH");
  const bool classify = options.task == "classify";
  for (const std::string& text : names) {
    const SourceEntry entry = parse_source(key, text);
    for (const SourceName& name : expand_source(key, entry.path)) {
      SourcesCorpus::Source& source = corpus->sources.emplace_back();
      source.weight = entry.weight;
      if (name.is_shard)
        open_shard(*corpus, source, name.path, key, classify);
      else
        read_text(*corpus, source, name.path, key, options, text_tokenizer);
    }
  }
  number_labels(*corpus);
  number_documents(*corpus);
  SB_CHECK(corpus->documents > 0, Data, key, ": the sources hold no document");
  if (!classify) corpus->class_names.clear();
  return corpus;
}

}  // namespace smartbird
