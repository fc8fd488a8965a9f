// Laws of the layout: every token has one owner and one row, query blocks stay whole, ranks share the work evenly.
#include "data/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <tuple>

#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;

std::vector<Sequence> packed(const std::vector<int64_t>& lengths) {
  std::vector<Sequence> out;
  int64_t begin = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    out.push_back({100 + i, begin, lengths[i]});
    begin += lengths[i];
  }
  return out;
}

// Odd shapes, then random ones.
std::vector<std::vector<int64_t>> streams() {
  std::vector<std::vector<int64_t>> out{{}, {1}, {2}, {1, 1}, {7}, {1000}, {3, 1, 500}, std::vector<int64_t>(1000, 1)};
  std::mt19937 random(1);
  for (int i = 0; i < 30; ++i) {
    std::vector<int64_t> lengths(random() % 12);
    for (int64_t& length : lengths) length = 1 + static_cast<int64_t>(random() % (i % 2 == 0 ? 9 : 200));
    out.push_back(lengths);
  }
  return out;
}

void for_layouts(const std::function<void(const Layout&)>& body) {
  for (const auto& lengths : streams())
    for (int ranks : {1, 2, 3, 5, 8, 16})
      for (int query_block : {1, 3, 16, 64})
        for (LayoutKind kind : {LayoutKind::Contiguous, LayoutKind::Zigzag}) {
          SCOPED_TRACE(::testing::Message()
                       << lengths.size() << " sequences, "
                       << std::accumulate(lengths.begin(), lengths.end(), int64_t{0}) << " tokens, " << ranks
                       << " ranks, query block " << query_block << ", kind " << static_cast<int>(kind));
          body(Layout(packed(lengths), query_block, ranks, kind));
        }
}

TEST(LayoutLaw, EveryTokenHasOneOwnerAndOneRow) {
  for_layouts([](const Layout& layout) {
    std::vector<int64_t> all;
    for (int rank = 0; rank < layout.num_ranks(); ++rank) {
      const std::vector<int64_t> tokens = layout.tokens_of(rank);
      ASSERT_EQ(static_cast<int64_t>(tokens.size()), layout.rank_tokens(rank));
      ASSERT_EQ(layout.tokens_by_rank()[static_cast<size_t>(rank)], layout.rank_tokens(rank));
      ASSERT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
      for (size_t row = 0; row < tokens.size(); ++row) {
        ASSERT_EQ(layout.owner(tokens[row]), rank);
        ASSERT_EQ(layout.local_row(tokens[row]), static_cast<int64_t>(row));
      }
      all.insert(all.end(), tokens.begin(), tokens.end());
    }
    std::sort(all.begin(), all.end());
    std::vector<int64_t> expected(static_cast<size_t>(layout.num_tokens()));
    std::iota(expected.begin(), expected.end(), 0);
    ASSERT_EQ(all, expected);
  });
}

TEST(LayoutLaw, RunsCoverTheStreamInOrder) {
  for_layouts([](const Layout& layout) {
    int64_t at = 0;
    int before = -1;
    for (const smartbird::Run& run : layout.runs()) {
      ASSERT_EQ(run.begin, at);
      ASSERT_GT(run.end, run.begin);
      ASSERT_NE(run.rank, before);
      ASSERT_EQ(run.local, layout.local_row(run.begin));
      at = run.end, before = run.rank;
    }
    ASSERT_EQ(at, layout.num_tokens());
  });
}

TEST(LayoutLaw, QueryBlocksBelongToOneRankAndAreAlignedToTheirSequence) {
  for_layouts([](const Layout& layout) {
    std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>> got, expected;
    for (int rank = 0; rank < layout.num_ranks(); ++rank) {
      int64_t row = 0;
      for (const Layout::Block& block : layout.blocks_of(rank)) {
        got.emplace_back(block.sequence, block.index, block.begin, block.end);
        const int64_t first = layout.sequences()[static_cast<size_t>(block.sequence)].begin + block.begin;
        ASSERT_EQ(layout.local_row(first), row);  // blocks are the rank's rows in order
        for (int64_t token = first; token < first + block.end - block.begin; ++token)
          ASSERT_EQ(layout.owner(token), rank);
        row += block.end - block.begin;
      }
      ASSERT_EQ(row, layout.rank_tokens(rank));
    }
    const int64_t b = layout.query_block();
    for (size_t s = 0; s < layout.sequences().size(); ++s) {
      ASSERT_EQ(layout.blocks_before(static_cast<int64_t>(s)), static_cast<int64_t>(expected.size()));
      const int64_t length = layout.sequences()[s].length;
      for (int64_t i = 0; i * b < length; ++i)
        expected.emplace_back(static_cast<int64_t>(s), i, i * b, std::min(i * b + b, length));
    }
    ASSERT_EQ(layout.num_blocks(), static_cast<int64_t>(expected.size()));
    std::sort(got.begin(), got.end());
    ASSERT_EQ(got, expected);
  });
}

TEST(LayoutLaw, SequenceOfEachToken) {
  for_layouts([](const Layout& layout) {
    for (int64_t s = 0; s < static_cast<int64_t>(layout.sequences().size()); ++s) {
      const Sequence& sequence = layout.sequences()[static_cast<size_t>(s)];
      ASSERT_EQ(layout.sequence_of(sequence.begin), s);
      ASSERT_EQ(layout.sequence_of(sequence.begin + sequence.length - 1), s);
    }
  });
}

// A cut moves by less than a query block; zigzag has two parts a rank.
TEST(LayoutLaw, RanksHoldEqualSharesUpToAQueryBlock) {
  for_layouts([](const Layout& layout) {
    const double share = static_cast<double>(layout.num_tokens()) / layout.num_ranks();
    for (int64_t tokens : layout.tokens_by_rank())
      ASSERT_LE(std::abs(static_cast<double>(tokens) - share), 2.0 * layout.query_block());
  });
}

TEST(LayoutLaw, FewerTokensThanRanksLeaveRanksEmpty) {
  const Layout layout(packed({2, 1}), 1, 16, LayoutKind::Contiguous);
  EXPECT_EQ(std::count(layout.tokens_by_rank().begin(), layout.tokens_by_rank().end(), 0), 13);
  EXPECT_EQ(*std::max_element(layout.tokens_by_rank().begin(), layout.tokens_by_rank().end()), 1);
}

TEST(Layout, ZigzagPairsEarlyPartsWithLateOnes) {
  const Layout layout(packed({16}), 1, 4, LayoutKind::Zigzag);
  EXPECT_EQ(layout.tokens_of(0), (std::vector<int64_t>{0, 1, 14, 15}));
  EXPECT_EQ(layout.tokens_of(1), (std::vector<int64_t>{2, 3, 12, 13}));
  EXPECT_EQ(layout.tokens_of(3), (std::vector<int64_t>{6, 7, 8, 9}));
  const auto causal_pairs = [&](int rank) {
    int64_t pairs = 0;
    for (int64_t token : layout.tokens_of(rank)) pairs += token + 1;
    return pairs;
  };
  for (int rank = 1; rank < 4; ++rank) EXPECT_EQ(causal_pairs(rank), causal_pairs(0));
}

TEST(Layout, Errors) {
  const auto kind = LayoutKind::Contiguous;
  expect_error(ErrorKind::Shape, "layout: query block 0, 2 ranks", [&] { Layout(packed({3}), 0, 2, kind); });
  expect_error(ErrorKind::Shape, "layout: query block 1, 0 ranks", [&] { Layout(packed({3}), 1, 0, kind); });
  expect_error(ErrorKind::Shape, "layout: a sequence of 0 tokens begins at 3, expected 3", [&] {
    Layout(packed({3, 0}), 1, 2, kind);
  });
  expect_error(ErrorKind::Shape, "layout: a sequence of 2 tokens begins at 4, expected 3", [&] {
    Layout({{0, 0, 3}, {1, 4, 2}}, 1, 2, kind);
  });
  const Layout layout(packed({3}), 1, 2, kind);
  expect_error(ErrorKind::Shape, "layout: token 3 of 3", [&] { (void)layout.owner(3); });
  expect_error(ErrorKind::Shape, "layout: token -1 of 3", [&] { (void)layout.local_row(-1); });
}

}  // namespace
}  // namespace smartbird
