// Cross-entropy of rows on the CPU, compiled for each instruction set; threads take runs of rows.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/token_loss.cpp"
#include "kernels/token_loss.h"

#include <algorithm>
#include <cmath>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/exp2-inl.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {

template <class T>
HWY_ATTR T largest_of(const T* x, int64_t count) {
  const RowTag<T> d;
  if (count < kStep<T>) return *std::max_element(x, x + count);
  auto most = hn::LoadU(d, x);
  for (int64_t c = kStep<T>; c + kStep<T> <= count; c += kStep<T>) most = hn::Max(most, hn::LoadU(d, x + c));
  most = hn::Max(most, hn::LoadU(d, x + count - kStep<T>));
  return hn::GetLane(hn::MaxOfLanes(d, most));
}

// gradient: nullptr, or x itself.
template <class T>
HWY_ATTR void loss_row(const T* x, int64_t target, int64_t count, T* gradient, double& loss, uint8_t& correct) {
  loss = 0, correct = 0;
  if (target < 0) {
    if (gradient != nullptr) std::fill_n(gradient, count, T{0});
    return;
  }
  const T most = largest_of(x, count), at_target = x[target];
  correct = at_target == most && std::find(x, x + target, most) == x + target ? 1 : 0;
  const auto weight = [&](auto d, int64_t c) HWY_ATTR {
    const auto value = hn::LoadU(d, x + c), below = hn::Min(hn::Sub(value, hn::Set(d, most)), hn::Zero(d));
    const auto e = exp_nonpositive(d, below);
    return hn::Add(e, hn::Sub(value, value));  // 0, or NaN where the value is not finite
  };
  const T sum = lane_sum<T>(count, weight);
  loss = std::log(static_cast<double>(sum)) + (static_cast<double>(most) - static_cast<double>(at_target));
  if (gradient == nullptr) return;
  const T inverse = T{1} / sum;
  for_elements<T>(0, count, [&](auto d, int64_t c) HWY_ATTR {
    hn::StoreU(hn::Mul(weight(d, c), hn::Set(d, inverse)), d, gradient + c);
  });
  gradient[target] -= T{1};
}

template <class T>
HWY_ATTR void loss_run(const T* logits, const int64_t* target, int64_t rows, int64_t count, T* gradient, double* loss,
                       uint8_t* correct) {
  for (int64_t row = 0; row < rows; ++row)
    loss_row(logits + row * count, target[row], count, gradient == nullptr ? nullptr : gradient + row * count,
             loss[row], correct[row]);
}

HWY_ATTR void loss_f32(const float* logits, const int64_t* target, int64_t rows, int64_t count, float* gradient,
                       double* loss, uint8_t* correct) {
  loss_run(logits, target, rows, count, gradient, loss, correct);
}
HWY_ATTR void loss_f64(const double* logits, const int64_t* target, int64_t rows, int64_t count, double* gradient,
                       double* loss, uint8_t* correct) {
  loss_run(logits, target, rows, count, gradient, loss, correct);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(loss_f32);
HWY_EXPORT(loss_f64);

namespace {

constexpr int64_t kRows = 8;  // a thread takes at once

template <class T, class Run>
void in_runs(Run run, const T* logits, const int64_t* target, int64_t rows, int64_t vocabulary, T* gradient,
             double* loss, uint8_t* correct) {
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; row += kRows)
    run(logits + row * vocabulary, target + row, std::min(kRows, rows - row), vocabulary,
        gradient == nullptr ? nullptr : gradient + row * vocabulary, loss + row, correct + row);
}

}  // namespace

#define SB_TOKEN_LOSS(T, suffix)                                                                                 \
  template <>                                                                                                    \
  void token_loss<T>(const T* logits, const int64_t* target, int64_t rows, int64_t vocabulary, double* loss,     \
                     uint8_t* correct) {                                                                         \
    in_runs<T>(HWY_DYNAMIC_DISPATCH(loss_##suffix), logits, target, rows, vocabulary, nullptr, loss, correct);   \
  }                                                                                                              \
  template <>                                                                                                    \
  void token_loss_gradient<T>(T * logits, const int64_t* target, int64_t rows, int64_t vocabulary, double* loss, \
                              uint8_t* correct) {                                                                \
    in_runs<T>(HWY_DYNAMIC_DISPATCH(loss_##suffix), logits, target, rows, vocabulary, logits, loss, correct);    \
  }
SB_TOKEN_LOSS(float, f32)
SB_TOKEN_LOSS(double, f64)
#undef SB_TOKEN_LOSS

}  // namespace smartbird::kernels
#endif
