// How far back a word or a token was last seen.
#include "train/seen_before.h"

#include <gtest/gtest.h>

namespace smartbird {
namespace {

std::vector<int32_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }

TEST(SeenBefore, FindsTheWordOfTheTarget) {
  //                                      The cat, the hat
  const std::vector<int64_t> wanted{0, 0, -1, 0, 0, 0, -1, -1, 9, 9, 9, -1, 0, 0, 0};
  EXPECT_EQ(since_word(bytes("The cat, the hat")), wanted) << "one number for each target, from the second byte on";
}

TEST(SeenBefore, TakesTheNearestAndWholeWordsOnly) {
  const std::vector<int64_t> back = since_word(bytes("a an a an4an"));
  const std::vector<int64_t> wanted{-1, 0, 0, -1, 5, -1, 5, 5, -1, 3, 3};
  EXPECT_EQ(back, wanted);
  EXPECT_EQ(since_word(bytes("\xc3\xa9t\xc3\xa9 t")), (std::vector<int64_t>{-1, 0, -1, -1, -1, 4}));
}

TEST(SeenBefore, FindsTheTokenBeforeTheTarget) {
  const std::vector<int32_t> ids{5, 6, 5, 5, 7, 6};
  EXPECT_EQ(since_token(ids), (std::vector<int64_t>{0, 0, 2, 1, 0}));
}

TEST(SeenBefore, HasNothingToSayOfNothing) {
  EXPECT_TRUE(since_word(std::vector<int32_t>{}).empty());
  EXPECT_TRUE(since_word(std::vector<int32_t>{65}).empty());
  EXPECT_TRUE(since_token(std::vector<int32_t>{}).empty());
  EXPECT_TRUE(since_token(std::vector<int32_t>{65}).empty());
}

}  // namespace
}  // namespace smartbird
