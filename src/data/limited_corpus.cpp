// A corpus seen through a limit.
#include "data/limited_corpus.h"

#include "core/error.h"

namespace smartbird {
namespace {

class LimitedCorpus : public Corpus {
 public:
  LimitedCorpus(std::unique_ptr<Corpus> whole, int64_t tokens) : whole_(std::move(whole)), tokens_(tokens) {
    for (int64_t left = tokens; left > 0; ++documents_) {
      last_length_ = std::min(left, whole_->document(documents_).num_tokens);
      left -= last_length_;
    }
  }
  int64_t num_documents() const override { return documents_; }
  int64_t num_tokens() const override { return tokens_; }
  const Tokenizer& tokenizer() const override { return whole_->tokenizer(); }
  const std::vector<std::string>& classes() const override { return whole_->classes(); }
  Document document(int64_t index) const override {
    SB_CHECK(index >= 0 && index < documents_, Shape, "corpus: document ", index, " of ", documents_);
    Document out = whole_->document(index);
    if (index + 1 == documents_) out.num_tokens = last_length_;
    return out;
  }
  void read(int64_t index, int64_t begin, std::span<int32_t> ids) const override { whole_->read(index, begin, ids); }
  void read_target_mask(int64_t index, int64_t begin, std::span<uint8_t> counts) const override {
    whole_->read_target_mask(index, begin, counts);
  }

 private:
  std::unique_ptr<Corpus> whole_;
  int64_t tokens_ = 0, documents_ = 0, last_length_ = 0;
};

}  // namespace

std::unique_ptr<Corpus> limit_corpus(const std::string& key, std::unique_ptr<Corpus> corpus, int64_t tokens) {
  if (tokens == 0) return corpus;
  SB_CHECK(tokens > 0 && tokens <= corpus->num_tokens(), Config, "data.limit_tokens = ", tokens, ", but ", key,
           " holds ", corpus->num_tokens(), " tokens; lower it, or 0 = all");
  return std::make_unique<LimitedCorpus>(std::move(corpus), tokens);
}

}  // namespace smartbird
