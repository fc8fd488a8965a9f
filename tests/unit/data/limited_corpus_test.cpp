// The first tokens of a corpus: whole documents, the one that is cut, and limits that cannot be.
#include "data/limited_corpus.h"

#include <gtest/gtest.h>

#include "data/stream.h"
#include "tests/support/memory_corpus.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;
using testing::MemoryCorpus;

std::unique_ptr<Corpus> limited(int64_t tokens) {
  return limit_corpus("data.train", std::make_unique<MemoryCorpus>(MemoryCorpus::of_lengths({5, 3, 4})), tokens);
}

std::vector<int64_t> lengths(const Corpus& corpus) {
  std::vector<int64_t> out;
  for (int64_t d = 0; d < corpus.num_documents(); ++d) out.push_back(corpus.document(d).num_tokens);
  return out;
}

TEST(LimitedCorpus, KeepsTheFirstTokens) {
  EXPECT_EQ(lengths(*limited(0)), (std::vector<int64_t>{5, 3, 4}));
  EXPECT_EQ(lengths(*limited(12)), (std::vector<int64_t>{5, 3, 4}));
  EXPECT_EQ(lengths(*limited(9)), (std::vector<int64_t>{5, 3, 1}));
  EXPECT_EQ(lengths(*limited(8)), (std::vector<int64_t>{5, 3}));
  EXPECT_EQ(lengths(*limited(1)), (std::vector<int64_t>{1}));
  EXPECT_EQ(limited(9)->num_tokens(), 9);
  std::vector<int32_t> ids(2);
  limited(9)->read(1, 1, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{2, 3}));
}

// The token after the cut is nobody's target: the last row of a cut document predicts nothing.
TEST(LimitedCorpus, ACutDocumentEndsThere) {
  const auto corpus = limited(7);
  const std::vector<Sample> samples{{.number = 0, .document = 1, .begin = 0, .length = 2}};
  const Layout layout(sequences_of(samples), 1, 1, LayoutKind::Contiguous);
  const Stream stream = make_stream(*corpus, layout, samples, 0, Task::Clm, 0, {});
  EXPECT_EQ(stream.token, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(stream.target, (std::vector<int64_t>{2, -1}));
}

TEST(LimitedCorpus, RefusesMoreThanThereIs) {
  expect_error(ErrorKind::Config, "data.limit_tokens = 13, but data.train holds 12 tokens; lower it, or 0 = all",
               [] { (void)limited(13); });
  expect_error(ErrorKind::Config, "data.limit_tokens = -1, but data.train holds 12 tokens; lower it, or 0 = all",
               [] { (void)limited(-1); });
  expect_error(ErrorKind::Shape, "corpus: document 2 of 2", [] { (void)limited(8)->document(2); });
}

}  // namespace
}  // namespace smartbird
