// Laws of a rank's rows: targets follow the document, not the piece or the packing, and masks follow the sample.
#include "data/stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "tests/support/memory_corpus.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;
using testing::MemoryCorpus;

constexpr PhiloxKey kKey{11, 12};

struct Row {
  int64_t token = 0, target = 0;
  bool operator==(const Row&) const = default;
};
using Rows = std::map<std::pair<int64_t, int64_t>, Row>;  // (sample number, position)

// The rows of all ranks; every row must be there once.
Rows rows_of(const Corpus& corpus, const std::vector<Sample>& samples, Task task, int ranks, LayoutKind kind,
             double share = 0.15, PhiloxKey key = kKey) {
  Rows rows;
  const Layout layout(sequences_of(samples), 3, ranks, kind);
  for (int rank = 0; rank < ranks; ++rank) {
    const Stream stream = make_stream(corpus, layout, samples, rank, task, share, key);
    EXPECT_EQ(static_cast<int64_t>(stream.token.size()), layout.rank_tokens(rank));
    EXPECT_EQ(stream.target.size(), stream.token.size());
    EXPECT_EQ(stream.position.size(), stream.token.size());
    EXPECT_EQ(stream.sequence.size(), stream.token.size());
    int64_t counted = 0, bytes = 0;
    for (size_t i = 0; i < stream.token.size(); ++i) {
      const int64_t number = samples[static_cast<size_t>(stream.sequence[i])].number;
      EXPECT_TRUE(rows.emplace(std::pair(number, stream.position[i]), Row{stream.token[i], stream.target[i]}).second);
      counted += stream.target[i] >= 0;
      bytes += stream.target[i] >= 0 && stream.target[i] < 256;
    }
    EXPECT_EQ(stream.counted, counted);
    EXPECT_EQ(stream.target_bytes, bytes);
  }
  return rows;
}

// Whole documents, a first piece, one in the middle and a tail; numbers above 32 bits too.
const MemoryCorpus& corpus() {
  static const MemoryCorpus documents(MemoryCorpus::of_lengths({1, 10, 300, 57}));
  return documents;
}
std::vector<Sample> pieces() {
  return {{7, 1, 0, 10},     {8, 2, 0, 100}, {(int64_t{1} << 33) + 8, 2, 100, 64},
          {10, 2, 164, 136}, {11, 0, 0, 1},  {12, 3, 0, 57}};
}

void for_splits(const std::function<void(int ranks, LayoutKind kind)>& body) {
  for (int ranks : {1, 2, 3, 5, 8, 16})
    for (LayoutKind kind : {LayoutKind::Contiguous, LayoutKind::Zigzag}) {
      SCOPED_TRACE(::testing::Message() << ranks << " ranks, kind " << static_cast<int>(kind));
      body(ranks, kind);
    }
}

TEST(StreamLaw, NextTokenOfTheDocumentIsTheTarget) {
  for_splits([](int ranks, LayoutKind kind) {
    const Rows rows = rows_of(corpus(), pieces(), Task::Clm, ranks, kind);
    size_t expected_rows = 0;
    for (const Sample& s : pieces()) {
      expected_rows += static_cast<size_t>(s.length);
      for (int64_t position = 0; position < s.length; ++position) {
        const int64_t at = s.begin + position;
        const bool last = at + 1 == corpus().document(s.document).num_tokens;  // of the document, not of the piece
        const Row expected{MemoryCorpus::id(s.document, at), last ? -1 : MemoryCorpus::id(s.document, at + 1)};
        ASSERT_EQ(rows.at({s.number, position}), expected) << "sample " << s.number << " position " << position;
      }
    }
    ASSERT_EQ(rows.size(), expected_rows);
  });
}

TEST(StreamLaw, TokensThatCountAsNoTargetAreNone) {
  MemoryCorpus masked(MemoryCorpus::of_lengths({1, 10, 300, 57}));
  masked.uncounted = 2;
  for_splits([&](int ranks, LayoutKind kind) {
    Rows expected = rows_of(corpus(), pieces(), Task::Clm, 1, LayoutKind::Contiguous);
    for (const Sample& s : pieces())
      for (int64_t position = 0; position < s.length; ++position)
        if ((s.document + s.begin + position + 1) % 5 == 2) expected.at({s.number, position}).target = -1;
    ASSERT_EQ(rows_of(masked, pieces(), Task::Clm, ranks, kind), expected);
  });
}

TEST(StreamLaw, NoTaskDependsOnRanksOrPacking) {
  auto shuffled = pieces();
  std::mt19937 random(1);
  for (Task task : {Task::Clm, Task::Mlm, Task::Classify}) {
    const Rows expected = rows_of(corpus(), pieces(), task, 1, LayoutKind::Contiguous);
    for_splits([&](int ranks, LayoutKind kind) {
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      ASSERT_EQ(rows_of(corpus(), shuffled, task, ranks, kind), expected);
    });
    Rows alone;
    for (const Sample& s : pieces()) alone.merge(rows_of(corpus(), {s}, task, 2, LayoutKind::Contiguous));
    ASSERT_EQ(alone, expected);
  }
}

// Shares of 20,000 tokens, within five standard deviations.
TEST(StreamLaw, MaskedShareAndItsThreeParts) {
  const MemoryCorpus large(MemoryCorpus::of_lengths({20000}));
  for (double share : {0.0, 0.15, 0.5, 1.0}) {
    const Rows rows = rows_of(large, {{3, 0, 0, 20000}}, Task::Mlm, 2, LayoutKind::Contiguous, share);
    double chosen = 0, masked = 0, kept = 0;
    for (const auto& [place, row] : rows) {
      const int64_t original = MemoryCorpus::id(0, place.second);
      if (row.target < 0) {
        ASSERT_EQ(row.token, original);
        continue;
      }
      ASSERT_EQ(row.target, original);
      ASSERT_TRUE(row.token == 257 || (row.token >= 0 && row.token < 256)) << row.token;
      ++chosen, masked += row.token == 257, kept += row.token == original;
    }
    const auto near = [](double count, double draws, double p) {
      EXPECT_NEAR(count, draws * p, 5 * std::sqrt(draws * p * (1 - p)));
    };
    near(chosen, 20000, share);
    near(masked, chosen, 0.8);
    near(kept, chosen, 0.1 + 0.1 / 256);  // a random token is the original now and then
  }
}

TEST(StreamLaw, MasksChangeWithKeyAndSample) {
  const std::vector<Sample> samples{{1, 2, 0, 300}}, others{{2, 2, 0, 300}}, high{{(int64_t{1} << 32) + 1, 2, 0, 300}};
  const auto chosen = [&](const std::vector<Sample>& of, PhiloxKey key) {
    std::vector<int64_t> out;
    for (const auto& [place, row] : rows_of(corpus(), of, Task::Mlm, 1, LayoutKind::Contiguous, 0.3, key))
      if (row.target >= 0) out.push_back(place.second);
    return out;
  };
  const auto first = chosen(samples, kKey);
  EXPECT_EQ(chosen(samples, kKey), first);
  EXPECT_NE(chosen(samples, {11, 13}), first);
  EXPECT_NE(chosen(samples, {12, 12}), first);
  EXPECT_NE(chosen(others, kKey), first);
  EXPECT_NE(chosen(high, kKey), first);
}

TEST(StreamLaw, ClassifyGivesEveryRankAllLabelsAndNoTargets) {
  std::vector<Document> documents;
  for (int32_t label = 0; label < 5; ++label) documents.push_back({.num_tokens = 3 + label, .label = label});
  const MemoryCorpus labelled(documents);
  const std::vector<Sample> samples{{0, 4, 0, 7}, {1, 0, 0, 3}, {2, 2, 0, 5}};
  const Layout layout(sequences_of(samples), 1, 16, LayoutKind::Contiguous);
  for (int rank = 0; rank < 16; ++rank) {
    const Stream stream = make_stream(labelled, layout, samples, rank, Task::Classify, 0.15, kKey);
    EXPECT_EQ(stream.label, (std::vector<int64_t>{4, 0, 2}));
    EXPECT_EQ(stream.target, std::vector<int64_t>(stream.token.size(), -1));
    EXPECT_EQ(stream.counted, 0);
  }
}

TEST(Stream, SequencesArePackedInTheOrderOfTheSamples) {
  const auto sequences = sequences_of(pieces());
  int64_t begin = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_EQ(sequences[i].sample, static_cast<uint64_t>(pieces()[i].number));
    EXPECT_EQ(sequences[i].begin, begin);
    begin += sequences[i].length;
  }
  EXPECT_EQ(begin, 368);
}

TEST(Stream, TasksByName) {
  EXPECT_EQ(task_from_name("clm"), Task::Clm);
  EXPECT_EQ(task_from_name("mlm"), Task::Mlm);
  EXPECT_EQ(task_from_name("classify"), Task::Classify);
  expect_error(ErrorKind::Config, "data.task = lm: expected clm, mlm or classify", [] { (void)task_from_name("lm"); });
}

}  // namespace
}  // namespace smartbird
