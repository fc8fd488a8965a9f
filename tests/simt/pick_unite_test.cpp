// Law: read row by row, the united picks of a tile are the lists they were made of, and a key that several rows pick is there once,
// however units are numbered.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/simt/united.h"

namespace smartbird::kernels {
namespace {

using device_test::DeviceArray;

struct Lists {
  int64_t rows, block;
  int pick_heads;
  std::vector<std::vector<int32_t>> tokens;  // of (block, pick head)
};
int32_t unit_of(int32_t token) { return (7 * token + 3) % 997; }

// `most` picks a list at most, of `tokens`, ascending or not.
Lists random_lists(int64_t rows, int64_t block, int pick_heads, int most, int tokens, bool ascending) {
  std::mt19937 random(static_cast<uint32_t>(rows * 100 + most));
  Lists out{rows, block, pick_heads, {}};
  out.tokens.resize(static_cast<size_t>((rows + block - 1) / block * pick_heads));
  for (auto& list : out.tokens) {
    std::set<int32_t> chosen;
    for (int i = static_cast<int>(random() % static_cast<uint32_t>(most + 1)); i > 0; --i)
      chosen.insert(static_cast<int32_t>(random() % static_cast<uint32_t>(tokens)));
    list.assign(chosen.begin(), chosen.end());
    if (!ascending) std::shuffle(list.begin(), list.end(), random);
  }
  return out;
}

void expect_united(const Lists& lists, bool ascending) {
  SCOPED_TRACE(::testing::Message() << "rows " << lists.rows << " block " << lists.block << " heads "
                                    << lists.pick_heads);
  std::vector<int64_t> row_block, start{0};
  std::vector<int32_t> flat, flat_units;
  for (int64_t row = 0; row < lists.rows; ++row) row_block.push_back(row / lists.block);
  for (const auto& list : lists.tokens) {
    flat.insert(flat.end(), list.begin(), list.end());
    std::transform(list.begin(), list.end(), std::back_inserter(flat_units), unit_of);
    start.push_back(static_cast<int64_t>(flat.size()));
  }
  DeviceArray<int64_t> blocks(row_block), starts(start);
  DeviceArray<int32_t> tokens(flat), units(flat_units);
  const United got(
      DevicePickLists{lists.rows, lists.pick_heads, blocks.data(), starts.data(), tokens.data(), units.data()});
  const auto steps = got.start.values();
  const auto unit = got.unit.values();
  const auto bits = got.bits.values();
  for (int64_t tile = 0; tile * kUnitedRows < lists.rows; ++tile)
    for (int head = 0; head < lists.pick_heads; ++head) {
      const size_t list = static_cast<size_t>(tile * lists.pick_heads + head);
      std::set<int32_t> once;
      size_t keys = 0;
      for (int64_t i = steps[list] * kUnitedKeys; i < steps[list + 1] * kUnitedKeys; ++i)
        if (unit[static_cast<size_t>(i)] >= 0) once.insert(unit[static_cast<size_t>(i)]), ++keys;
      if (ascending) {
        EXPECT_EQ(keys, once.size());
        EXPECT_EQ(steps[list + 1] - steps[list], (static_cast<int64_t>(keys) + kUnitedKeys - 1) / kUnitedKeys);
      }
      for (int64_t r = 0; r < kUnitedRows; ++r) {
        std::vector<int32_t> mine;
        for (int64_t step = steps[list]; step < steps[list + 1]; ++step)
          for (int64_t k = 0; k < kUnitedKeys; ++k)
            if ((bits[static_cast<size_t>(step * kUnitedKeys + r)] >> k & 1) != 0)
              mine.push_back(unit[static_cast<size_t>(step * kUnitedKeys + k)]);
        const int64_t row = tile * kUnitedRows + r;
        std::vector<int32_t> want;
        if (row < lists.rows) {
          const auto& drawn = lists.tokens[static_cast<size_t>(row / lists.block * lists.pick_heads + head)];
          std::transform(drawn.begin(), drawn.end(), std::back_inserter(want), unit_of);
        }
        EXPECT_EQ(mine, want) << "row " << row << " head " << head;
      }
    }
}

TEST(PickUnite, IsTheListsOfItsRows) {
  expect_united(random_lists(1, 1, 1, 0, 5, true), true);
  expect_united(random_lists(16, 1, 2, 16, 16, true), true);
  expect_united(random_lists(37, 1, 3, 20, 60, true), true);
  expect_united(random_lists(50, 7, 2, 33, 40, true), true);
  expect_united(random_lists(40, 32, 1, 70, 300, true), true);
  expect_united(random_lists(30, 1, 1, 12, 20, false), false);
}

}  // namespace
}  // namespace smartbird::kernels
