// Law: attention over keys and values in bfloat16 has the bits of attention over the same values in T.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "tests/reference/random_attention.h"

namespace smartbird {
namespace {

template <class T>
void expect_same_bits() {
  std::mt19937 random(8);
  for (int width : {1, 5, 20, 64, 72})
    for (kernels::Walk walk : {kernels::Walk::Union, kernels::Walk::Lists}) {
      SCOPED_TRACE(::testing::Message() << "width " << width);
      auto problem = reference::random_attention<T>(
          {.rows = 150, .block = 2, .window = 3, .heads = 4, .kv_heads = 2, .width = width, .pick_heads = 2}, random);
      auto half = problem;
      for (T& x : problem.kv) {
        const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(x)) & 0xFFFF0000u;
        x = static_cast<T>(std::bit_cast<float>(bits));
        half.kv_bfloat16.push_back(static_cast<uint16_t>(bits >> 16));
      }
      const auto expected = reference::run_kernels(problem, walk), got = reference::run_kernels(half, walk);
      for (auto member : {&reference::AttentionResult<T>::o, &reference::AttentionResult<T>::lse,
                          &reference::AttentionResult<T>::grad_q, &reference::AttentionResult<T>::grad_kv})
        EXPECT_EQ(std::memcmp((expected.*member).data(), (got.*member).data(), (got.*member).size() * sizeof(T)), 0);
    }
}

TEST(Bfloat16Rows, AreTheSameValues) {
  expect_same_bits<float>();
  expect_same_bits<double>();
}

}  // namespace
}  // namespace smartbird
