// Law: the picks of a unit, in ascending order, are those that name it; nothing is lost.
#include "kernels/pick_transpose.h"

#include <gtest/gtest.h>

#include <random>

#include "device_array.h"
#include "kernels/running_sums.cuh"

namespace smartbird::kernels {
namespace {

using device_test::DeviceArray;

void expect_transposed(int64_t units, const std::vector<int32_t>& pick_unit) {
  const int64_t picks = static_cast<int64_t>(pick_unit.size());
  std::vector<int32_t> numbers;
  std::vector<float> weights;
  for (size_t i = 0; i < pick_unit.size(); ++i)
    numbers.push_back(static_cast<int32_t>(3 * i + 1)), weights.push_back(-0.5F * static_cast<float>(i));
  DeviceArray<int32_t> unit(pick_unit), number(numbers), list(pick_unit.size(), -7);
  DeviceArray<float> weight(weights), log_pi(pick_unit.size(), 7.0F);
  DeviceArray<int64_t> start(static_cast<size_t>(units) + 1, -7);
  DeviceArray<int32_t> memory(static_cast<size_t>(pick_transpose_bytes(picks) / 4), -7);
  pick_transpose(Stream{}, picks, units, {unit.data(), number.data(), weight.data()}, memory.data(),
                 {start.data(), list.data(), log_pi.data()});
  std::vector<std::vector<size_t>> by_unit(static_cast<size_t>(units));
  for (size_t i = 0; i < pick_unit.size(); ++i) by_unit[static_cast<size_t>(pick_unit[i])].push_back(i);
  const auto starts = start.values();
  const auto lists = list.values();
  const auto log_pis = log_pi.values();
  ASSERT_EQ(starts.back(), picks);
  for (size_t u = 0; u < by_unit.size(); ++u) {
    ASSERT_EQ(starts[u + 1] - starts[u], static_cast<int64_t>(by_unit[u].size())) << "unit " << u << " of " << units;
    for (size_t n = 0; n < by_unit[u].size(); ++n) {
      const size_t at = static_cast<size_t>(starts[u]) + n;
      ASSERT_EQ(lists[at], numbers[by_unit[u][n]]) << "unit " << u << " of " << units;
      ASSERT_EQ(log_pis[at], weights[by_unit[u][n]]) << "unit " << u << " of " << units;
    }
  }
}

TEST(PickTranspose, GathersThePicksOfEveryUnit) {
  std::mt19937 random(3);
  for (const int64_t units : {1, 2, 5, 256, 257, 70000})
    for (const size_t picks : {0, 1, 31, 4095, 4096, 4097, 9000}) {
      std::vector<int32_t> pick_unit(picks);
      for (int32_t& unit : pick_unit) unit = static_cast<int32_t>(random() % static_cast<uint32_t>(units));
      expect_transposed(units, pick_unit);
    }
}

// One key that every row picks, and units that nobody does.
TEST(PickTranspose, TakesHeavyUnits) {
  std::vector<int32_t> pick_unit(3000, 299);
  for (size_t i = 0; i < pick_unit.size(); i += 7) pick_unit[i] = 40;
  expect_transposed(300, pick_unit);
}

// With one number a thread: more totals than the one block that adds them up takes at a time.
TEST(RunningSums, CarryFromOneRunOfTotalsToTheNext) {
  std::mt19937 random(6);
  for (const size_t count : {0, 1, 128, 129, 128 * 128, 128 * 128 + 1, 3 * 128 * 128 + 77}) {
    std::vector<int32_t> want(count), numbers(count);
    int32_t sum = 0;
    for (size_t i = 0; i < count; ++i) {
      numbers[i] = static_cast<int32_t>(random() % 9), want[i] = sum;
      sum += numbers[i];
    }
    DeviceArray<int32_t> in(numbers), totals(static_cast<size_t>(running_totals<1>(static_cast<int64_t>(count))), -7);
    running_sums<1>(Stream{}, in.data(), static_cast<int64_t>(count), totals.data());
    ASSERT_EQ(in.values(), want) << count;
  }
}

// More counts than one block adds up.
TEST(PickTranspose, AddsUpOverSeveralBlocks) {
  std::mt19937 random(4);
  std::vector<int32_t> pick_unit(20000);
  for (int32_t& unit : pick_unit) unit = static_cast<int32_t>(random() % 300);
  expect_transposed(300, pick_unit);
}

}  // namespace
}  // namespace smartbird::kernels
