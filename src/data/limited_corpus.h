// The first tokens of a corpus: documents in their order, the last one cut where the limit falls.
#pragma once

#include <memory>
#include <string>

#include "data/corpus.h"

namespace smartbird {

// tokens = 0 leaves the corpus as it is. A corpus of fewer tokens is refused (ErrorKind::Config, with `key` and both
// numbers). Weights of documents stay, so an epoch may have more or fewer tokens.
[[nodiscard]] std::unique_ptr<Corpus> limit_corpus(const std::string& key, std::unique_ptr<Corpus> corpus,
                                                   int64_t tokens);

}  // namespace smartbird
