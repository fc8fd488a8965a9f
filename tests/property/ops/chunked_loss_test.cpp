// Law: the chunked loss is Torch's cross-entropy, value and gradients, for any chunk size, also for no rows and for none
// or all counted; its gradients agree with finite differences.
#include "ops/chunked_loss.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "tests/support/gradients.h"

namespace smartbird::testing {
namespace {

constexpr int64_t kRows = 13, kWidth = 4, kVocabulary = 9;

enum class Counted { None, TwoOfThree, All };

at::Tensor targets(std::mt19937& random, int64_t rows, Counted counted) {
  at::Tensor out = at::empty({rows}, at::kLong);
  for (int64_t i = 0; i < rows; ++i)
    out[i] = counted == Counted::None || (counted == Counted::TwoOfThree && i % 3 == 1)
                 ? -1
                 : static_cast<int64_t>(random() % kVocabulary);
  return out;
}

TEST(ChunkedLoss, IsCrossEntropyForAnyChunkSize) {
  std::mt19937 random(1);
  for (const int64_t rows : {int64_t{0}, int64_t{1}, kRows})
    for (const Counted which : {Counted::None, Counted::TwoOfThree, Counted::All}) {
      const at::Tensor h = random_tensor(random, {rows, kWidth}).requires_grad_(true),
                       w = random_tensor(random, {kVocabulary, kWidth}).requires_grad_(true),
                       target = targets(random, rows, which);
      const at::Tensor logits = at::mm(h, w.t()), counted = target >= 0;
      const at::Tensor expected = at::cross_entropy_loss(logits, target, {}, at::Reduction::Sum, -1);
      const Tensors expected_grads = torch::autograd::grad({expected * 1.7}, {h, w});
      const int64_t correct =
          rows == 0 ? 0 : at::logical_and(logits.argmax(1) == target, counted).sum().item<int64_t>();
      for (const int64_t chunk : {1, 2, 5, 8, 9, 10, 12, 13, 14, 1000}) {  // about the 9 and the 13 rows that count
        const LossSum got = chunked_loss(h, w, target, chunk);
        const std::string what = std::to_string(rows) + " rows, chunk " + std::to_string(chunk);
        EXPECT_NEAR(got.loss.item<double>(), expected.item<double>(), 1e-12) << what;
        EXPECT_EQ(got.correct, correct) << what;
        EXPECT_EQ(got.counted, counted.sum().item<int64_t>()) << what;
        const Tensors grads = torch::autograd::grad({got.loss * 1.7}, {h, w});
        for (size_t i : {0, 1}) EXPECT_TRUE(at::allclose(grads[i], expected_grads[i], 0, 1e-12)) << what;
        const at::NoGradGuard no_grad;
        const LossSum again = chunked_loss(h, w, target, chunk);
        EXPECT_EQ(again.loss.item<double>(), got.loss.item<double>()) << what;
        const at::Tensor each = at::cross_entropy_loss(logits, target, {}, at::Reduction::None, -1);
        EXPECT_TRUE(at::allclose(again.row_loss, each, 0, 1e-12)) << what;
        EXPECT_TRUE(at::equal(again.row_correct.to(at::kBool), at::logical_and(logits.argmax(1) == target, counted)) ||
                    rows == 0)
            << what;
        EXPECT_EQ(again.row_correct.size(0), rows) << what;
      }
    }
}

TEST(ChunkedLoss, UncountedRowsHaveNoGradient) {
  std::mt19937 random(2);
  const at::Tensor h = random_tensor(random, {kRows, kWidth}).requires_grad_(true),
                   w = random_tensor(random, {kVocabulary, kWidth}),
                   target = targets(random, kRows, Counted::TwoOfThree);
  const at::Tensor grad = torch::autograd::grad({chunked_loss(h, w, target, 3).loss}, {h})[0];
  for (int64_t i = 0; i < kRows; ++i)
    EXPECT_EQ(grad[i].abs().sum().item<double>() == 0, target[i].item<int64_t>() < 0) << "row " << i;
}

// They are not multiplied: what they hold, be it no number at all, is nowhere seen.
TEST(ChunkedLoss, WhatUncountedRowsHoldIsNotSeen) {
  std::mt19937 random(5);
  const at::Tensor target = targets(random, kRows, Counted::TwoOfThree), uncounted = (target < 0).unsqueeze(1),
                   plain = random_tensor(random, {kRows, kWidth}), w = random_tensor(random, {kVocabulary, kWidth});
  const auto answer = [&](const at::Tensor& rows) {
    const at::Tensor h = rows.clone().requires_grad_(true), weight = w.clone().requires_grad_(true);
    const LossSum sum = chunked_loss(h, weight, target, 5);
    Tensors out = torch::autograd::grad({sum.loss}, {h, weight});
    const at::NoGradGuard no_grad;
    const LossSum rows_too = chunked_loss(h, weight, target, 5);
    EXPECT_EQ(rows_too.row_correct.sum().item<int64_t>(), sum.correct);
    EXPECT_NEAR(rows_too.row_loss.sum().item<double>(), sum.loss.item<double>(), 1e-12);
    EXPECT_TRUE(at::equal(rows_too.row_loss == 0, target < 0));
    out.push_back(sum.loss), out.push_back(rows_too.row_loss);
    return out;
  };
  const Tensors want = answer(plain), got = answer(plain.masked_fill(uncounted, std::nan("")));
  for (size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(at::equal(got[i], want[i])) << i;
}

TEST(ChunkedLoss, FiniteDifferences) {
  std::mt19937 random(3);
  const at::Tensor target = targets(random, kRows, Counted::TwoOfThree);
  for (const int64_t chunk : {1, 5, 1000})
    expect_gradients([&](const Tensors& x) { return chunked_loss(x[0], x[1], target, chunk).loss; },
                     {random_tensor(random, {kRows, kWidth}), random_tensor(random, {kVocabulary, kWidth})},
                     "chunk " + std::to_string(chunk));
}

TEST(ChunkedLoss, TakesRowsThatAreNotContiguous) {
  std::mt19937 random(4);
  const at::Tensor h = random_tensor(random, {kWidth, kRows}).t(), w = random_tensor(random, {kWidth, kVocabulary}).t(),
                   target = targets(random, 2 * kRows, Counted::TwoOfThree).slice(0, 0, 2 * kRows, 2);
  EXPECT_NEAR(chunked_loss(h, w, target, 5).loss.item<double>(),
              at::cross_entropy_loss(at::mm(h, w.t()), target, {}, at::Reduction::Sum, -1).item<double>(), 1e-12);
}

TEST(ChunkedLoss, RefusesShapesThatDoNotFit) {
  const at::Tensor h = at::zeros({3, 4}, at::kDouble), target = at::zeros({3}, at::kLong);
  try {
    (void)chunked_loss(h, at::zeros({9, 5}, at::kDouble), target, 2);
    FAIL() << "h [3, 4] and w [9, 5] were accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Shape);
    EXPECT_NE(std::string(error.what()).find("h [3, 4], w [9, 5], target [3]"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace smartbird::testing
