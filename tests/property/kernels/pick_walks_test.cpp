// Law: going through picks as masked products or list by list gives the same bits, forward and backward.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/reference/random_attention.h"

namespace smartbird {
namespace {

using kernels::Walk;

template <class T>
class PickWalks : public ::testing::Test {
 protected:
  static void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b, const char* what) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)), 0) << what;
  }
  static void expect_same(const reference::AttentionCase<T>& problem) {
    const auto expected = reference::run_kernels(problem, Walk::Union);
    for (std::optional<Walk> walk : {std::optional<Walk>(Walk::Lists), std::optional<Walk>(Walk::ListsForward), {}}) {
      const auto got = reference::run_kernels(problem, walk);
      expect_same_bits(expected.o, got.o, "o"), expect_same_bits(expected.lse, got.lse, "lse");
      expect_same_bits(expected.grad_q, got.grad_q, "grad_q"),
          expect_same_bits(expected.grad_kv, got.grad_kv, "grad_kv");
    }
  }
};

using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(PickWalks, Types);

TYPED_TEST(PickWalks, GiveTheSameBits) {
  std::mt19937 random(3);
  for (int width : {1, 4, 20, 64, 72})
    for (int64_t block : {1, 3, 16})
      for (const auto& [heads, kv_heads, pick_heads] : {std::array{1, 1, 1}, {4, 2, 2}, {4, 2, 4}, {6, 1, 1}}) {
        SCOPED_TRACE(::testing::Message() << "width " << width << ", block " << block << ", heads " << heads << " "
                                          << kv_heads << " " << pick_heads);
        // Lists grow with the row, from none to about 70 picks.
        const reference::AttentionShape shape{.rows = 213,
                                              .block = block,
                                              .window = 3,
                                              .heads = heads,
                                              .kv_heads = kv_heads,
                                              .width = width,
                                              .pick_heads = pick_heads};
        this->expect_same(reference::random_attention<TypeParam>(shape, random));
      }
}

// Rows that meet no key before their picks, lists longer than any vector, and lists that are all the same.
TYPED_TEST(PickWalks, GiveTheSameBitsWithoutABandAndForLongOrEqualLists) {
  std::mt19937 random(4);
  auto problem = reference::random_attention<TypeParam>(
      {.rows = 700, .block = 1, .window = 0, .heads = 2, .kv_heads = 2, .width = 24, .pick_heads = 2}, random);
  problem.band_end = problem.band_begin;
  this->expect_same(problem);
  const int64_t lists = static_cast<int64_t>(problem.pick_start.size()) - 1;
  const int64_t begin = problem.pick_start[lists - 2], size = problem.pick_start[lists - 1] - begin;
  ASSERT_GT(size, 200);
  auto same = problem;
  same.pick_start = {0}, same.pick_unit.clear(), same.pick_token.clear(), same.log_pi.clear();
  for (int64_t list = 0; list < lists; ++list) {
    const int64_t from = problem.pick_start[lists - 2 + list % 2];
    for (int64_t i = 0; i < problem.pick_start[lists - 1 + list % 2] - from; ++i) {
      same.pick_unit.push_back(problem.pick_unit[from + i]), same.pick_token.push_back(problem.pick_token[from + i]);
      same.log_pi.push_back(static_cast<TypeParam>(-0.01 * static_cast<double>(list % 7)));
    }
    same.pick_start.push_back(static_cast<int64_t>(same.pick_unit.size()));
  }
  this->expect_same(same);
}

// What the overlap asks for: equal lists are united, disjoint ones are not.
TYPED_TEST(PickWalks, FollowTheOverlap) {
  constexpr int64_t kRows = 32, kPicks = 5;
  for (bool equal : {true, false}) {
    reference::AttentionCase<TypeParam> c;
    c.shape = {.rows = kRows, .block = 1, .window = 0, .heads = 1, .kv_heads = 1, .width = 1, .pick_heads = 1};
    c.token_slot.resize(kRows * kPicks);
    for (int64_t row = 0; row < kRows; ++row) {
      c.row_block.push_back(row);
      for (int64_t i = 0; i < kPicks; ++i) c.pick_token.push_back(static_cast<int32_t>(equal ? i : row * kPicks + i));
      c.pick_start.push_back(static_cast<int64_t>(c.pick_token.size()));
    }
    c.pick_unit = c.pick_token;
    const auto in = c.input();
    for (Walk walk : kernels::unite_picks(in).walk) EXPECT_EQ(walk, equal ? Walk::Union : Walk::Lists);
    EXPECT_EQ(kernels::unite_picks(in).unit.size(), equal ? 2 * kPicks : 0);
  }
}

}  // namespace
}  // namespace smartbird
