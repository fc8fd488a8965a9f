// Law: the covering cases of the test support hold every pair of choices, and are far fewer than the product.
#include "tests/support/cover_pairs.h"

#include <gtest/gtest.h>

namespace smartbird::testing {
namespace {

TEST(CoverPairs, EveryTwoChoicesMeet) {
  for (const std::vector<int>& choices : {std::vector<int>{2, 2}, {3, 1, 4}, {5, 3, 3, 2, 2, 2, 2, 2, 2, 2}}) {
    const auto rows = cover_pairs(choices);
    size_t product = 1;
    for (size_t a = 0; a < choices.size(); ++a) {
      product *= static_cast<size_t>(choices[a]);
      for (size_t b = a + 1; b < choices.size(); ++b) {
        std::set<std::pair<int, int>> met;
        for (const auto& row : rows) met.insert({row[a], row[b]});
        EXPECT_EQ(met.size(), static_cast<size_t>(choices[a] * choices[b])) << "axes " << a << " and " << b;
      }
    }
    EXPECT_LE(rows.size(), std::min<size_t>(product, 24));
  }
}

TEST(CoverPairs, CrossedAxesHoldEveryCombination) {
  const Axis<int> units{{"one", [](int&x) { x += 1; }}, {"two", [](int&x) { x += 2; }}},
      tens{{"ten", [](int&x) { x += 10; }}, {"twenty", [](int&x) { x += 20; }}};
  std::set<int> values;
  for (const auto& choice : crossed(units, tens)) {
    int value = 0;
    choice.apply(value);
    values.insert(value);
  }
  EXPECT_EQ(values, (std::set<int>{11, 12, 21, 22}));
}

TEST(CoverPairs, ChoicesAreAppliedAndNamed) {
  const auto cases = covering_cases<int>(
      100, {{{"one", [](int& x) { x += 1; }}, {"two", [](int& x) { x += 2; }}}, {{"ten", [](int& x) { x *= 10; }}}});
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_EQ(cases[0].name, "one, ten");
  EXPECT_EQ(cases[0].value, 1010);
  EXPECT_EQ(cases[1].value, 1020);
}

}  // namespace
}  // namespace smartbird::testing
