// The loops of machine_rates.h for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/machine_rates.cpp"
#include "kernels/machine_rates.h"

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// After highway.h.
#include "kernels/exp2-inl.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_ATTR double fma_loop(int64_t rounds, float* result) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kSums = 12;  // two pipes of latency 4 and room to spare
  hn::Vec<hn::ScalableTag<float>> sum[kSums];
  for (int64_t s = 0; s < kSums; ++s) sum[s] = hn::Set(d, 1.0f + 0.001f * static_cast<float>(s));
  const auto a = hn::Set(d, 0.999999f), b = hn::Set(d, 1e-6f);
  for (int64_t i = 0; i < rounds; ++i)
    for (int64_t s = 0; s < kSums; ++s) sum[s] = hn::MulAdd(sum[s], a, b);
  for (int64_t s = 1; s < kSums; ++s) sum[0] = hn::Add(sum[0], sum[s]);
  *result = hn::GetLane(sum[0]);
  return 2.0 * static_cast<double>(rounds * kSums) * static_cast<double>(hn::Lanes(d));
}

HWY_ATTR double exp_loop(int64_t rounds, float* result) {
  const hn::CappedTag<float, 16> d;
  constexpr int64_t kSums = 8;
  hn::Vec<hn::CappedTag<float, 16>> x[kSums], sum = hn::Zero(d);
  for (int64_t s = 0; s < kSums; ++s) x[s] = hn::Set(d, -0.1f * static_cast<float>(s));
  const auto step = hn::Set(d, 1e-6f);
  for (int64_t i = 0; i < rounds; ++i)
    for (int64_t s = 0; s < kSums; ++s) {
      sum = hn::Add(sum, exp2_nonpositive(d, x[s]));
      x[s] = hn::Sub(x[s], step);
    }
  *result = hn::GetLane(sum);
  return static_cast<double>(rounds * kSums) * static_cast<double>(hn::Lanes(d));
}

HWY_ATTR double gather_loop(const float* HWY_RESTRICT rows, int64_t width, const int32_t* HWY_RESTRICT index,
                            int64_t count, float* HWY_RESTRICT sum) {
  const hn::CappedTag<float, 16> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int64_t kAhead = 8;
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count)
      for (int64_t line = 0; line < width; line += 16) __builtin_prefetch(rows + index[i + kAhead] * width + line);
    const float* row = rows + index[i] * width;
    for (int64_t c = 0; c < width; c += lanes)
      hn::StoreU(hn::Add(hn::LoadU(d, sum + c), hn::LoadU(d, row + c)), d, sum + c);
  }
  return static_cast<double>(count * width) * sizeof(float);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(fma_loop);
HWY_EXPORT(exp_loop);
HWY_EXPORT(gather_loop);

double run_fma_loop(int64_t rounds, float* result) { return HWY_DYNAMIC_DISPATCH(fma_loop)(rounds, result); }
double run_exp_loop(int64_t rounds, float* result) { return HWY_DYNAMIC_DISPATCH(exp_loop)(rounds, result); }
double run_gather_loop(const float* rows, int64_t width, const int32_t* index, int64_t count, float* sum) {
  return HWY_DYNAMIC_DISPATCH(gather_loop)(rows, width, index, count, sum);
}
}  // namespace smartbird::kernels
#endif
