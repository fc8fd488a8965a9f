// Laws of dealing: every sample goes to exactly one place, in order, and all replicas take the same number of
// micro-steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "data/sampler.h"

namespace smartbird {
namespace {

using Dealt = std::vector<std::vector<std::vector<Sample>>>;  // [micro_step][replica]

std::vector<Sample> random_batch(std::mt19937& random, int64_t samples, int64_t longest) {
  std::vector<Sample> out;
  for (int64_t i = 0; i < samples; ++i)
    out.push_back({.number = 1000 + i,
                   .document = i,
                   .length = 1 + static_cast<int64_t>(random() % static_cast<uint32_t>(longest))});
  return out;
}

int64_t tokens_of(const std::vector<Sample>& samples) {
  int64_t tokens = 0;
  for (const Sample& s : samples) tokens += s.length;
  return tokens;
}

void for_batches(
    const std::function<void(const std::vector<Sample>&, int replicas, int64_t micro_tokens, const Dealt&)>& body) {
  std::mt19937 random(1);
  for (int replicas : {1, 2, 3, 5, 8, 16})
    for (int64_t samples : {0, 1, 2, 7, 60})
      for (int64_t micro_tokens : {0, 1, 20, 100, 100000}) {
        SCOPED_TRACE(::testing::Message()
                     << replicas << " replicas, " << samples << " samples, micro-steps of " << micro_tokens);
        const auto batch = random_batch(random, samples, 40);
        body(batch, replicas, micro_tokens, deal(batch, replicas, micro_tokens));
      }
}

TEST(DealLaw, EverySampleInOnePlaceInOrder) {
  for_batches([](const std::vector<Sample>& batch, int replicas, int64_t, const Dealt& dealt) {
    std::vector<int64_t> all;
    for (size_t r = 0; r < static_cast<size_t>(replicas); ++r) {
      std::vector<int64_t> mine;
      for (const auto& step : dealt)
        for (const Sample& s : step[r]) mine.push_back(s.number);
      ASSERT_TRUE(std::is_sorted(mine.begin(), mine.end()));
      all.insert(all.end(), mine.begin(), mine.end());
    }
    std::sort(all.begin(), all.end());
    ASSERT_EQ(all.size(), batch.size());
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], batch[i].number);
  });
}

TEST(DealLaw, AllReplicasHaveTheSameNumberOfMicroSteps) {
  for_batches([](const std::vector<Sample>& batch, int replicas, int64_t micro_tokens, const Dealt& dealt) {
    ASSERT_GE(dealt.size(), 1u);  // an empty batch is one step of empty streams: collectives still match
    for (const auto& step : dealt) ASSERT_EQ(step.size(), static_cast<size_t>(replicas));
    const auto& last = dealt.back();
    ASSERT_TRUE(batch.empty() ||
                std::any_of(last.begin(), last.end(), [](const auto& stream) { return !stream.empty(); }));
    ASSERT_TRUE(micro_tokens > 0 || dealt.size() == 1);
  });
}

TEST(DealLaw, StreamsStayWithinMicroTokensAndAreFull) {
  for_batches([](const std::vector<Sample>&, int, int64_t micro_tokens, const Dealt& dealt) {
    if (micro_tokens == 0) return;
    for (size_t m = 0; m < dealt.size(); ++m)
      for (size_t r = 0; r < dealt[m].size(); ++r) {
        const auto& stream = dealt[m][r];
        ASSERT_TRUE(tokens_of(stream) <= micro_tokens || stream.size() == 1);
        const bool ends = m + 1 == dealt.size() || dealt[m + 1][r].empty();
        ASSERT_TRUE(ends || tokens_of(stream) + dealt[m + 1][r][0].length > micro_tokens)
            << "a fuller stream was possible";
      }
  });
}

TEST(DealLaw, ReplicasDifferByLessThanTheLongestSample) {
  for_batches([](const std::vector<Sample>& batch, int replicas, int64_t, const Dealt& dealt) {
    std::vector<int64_t> tokens(static_cast<size_t>(replicas), 0);
    for (const auto& step : dealt)
      for (size_t r = 0; r < step.size(); ++r) tokens[r] += tokens_of(step[r]);
    int64_t longest = 0;
    for (const Sample& s : batch) longest = std::max(longest, s.length);
    const auto [least, most] = std::minmax_element(tokens.begin(), tokens.end());
    ASSERT_LE(*most - *least, longest);
  });
}

TEST(Deal, SmallExample) {
  const std::vector<Sample> batch{{0, 0, 0, 5}, {1, 0, 0, 3}, {2, 0, 0, 2}, {3, 0, 0, 9}, {4, 0, 0, 1}};
  const Dealt dealt = deal(batch, 2, 6);  // 5 | 3 2, then 9 (too long for a stream with 5) | 1
  ASSERT_EQ(dealt.size(), 2u);
  const auto numbers = [&](size_t m, size_t r) {
    std::vector<int64_t> out;
    for (const Sample& s : dealt[m][r]) out.push_back(s.number);
    return out;
  };
  EXPECT_EQ(numbers(0, 0), (std::vector<int64_t>{0}));
  EXPECT_EQ(numbers(0, 1), (std::vector<int64_t>{1, 2, 4}));
  EXPECT_EQ(numbers(1, 0), (std::vector<int64_t>{3}));
  EXPECT_TRUE(numbers(1, 1).empty());
}

}  // namespace
}  // namespace smartbird
