// Comparisons with a threshold, and Newton's method for the certain keys among those kept, for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/certain_keys.cpp"
#include "kernels/certain_keys.h"

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
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
HWY_ATTR void keep_hopeful_of(const T* HWY_RESTRICT s, const LeafSum* HWY_RESTRICT sums, int64_t count,
                              const KeptScores<T>& rows) {
  const RowTag<T> d;
  for (int64_t row = 0; row < count; ++row, s += kLeafKeys) {
    const T hopeless = rows.hopeless[row];
    if (sums[row].sum == 0 || static_cast<T>(sums[row].exponent) <= hopeless) continue;
    T* out = rows.score + row * rows.room + rows.count[row];
    const auto than = hn::Set(d, hopeless);
    for (int64_t j = 0; j < kLeafKeys; j += kStep<T>) {
      const auto x = hn::Load(d, s + j);
      const auto hopeful = hn::Gt(x, than);
      if (!hn::AllFalse(d, hopeful)) out += hn::CompressStore(x, hopeful, d, out);
    }
    rows.count[row] = static_cast<int32_t>(out - (rows.score + row * rows.room));
  }
}

// What exceeds a cut: how many, and what the others of `count` (a multiple of 16) sum to.
template <class T>
struct Parted {
  int64_t above = 0;
  double below = 0;
};
template <class T>
HWY_ATTR HWY_INLINE Parted<T> part(const T* HWY_RESTRICT e, int64_t count, T cut) {
  const RowTag<T> d;
  const auto than = hn::Set(d, cut);
  int64_t above = 0;
  for (int64_t i = 0; i < count; i += kStep<T>)
    above += static_cast<int64_t>(hn::CountTrue(d, hn::Gt(hn::Load(d, e + i), than)));
  const T below = lane_sum<T>(count, [&](auto tag, int64_t i) HWY_ATTR {
    const auto x = hn::Load(tag, e + i);
    return hn::IfThenZeroElse(hn::Gt(x, hn::Set(tag, cut)), x);
  });
  return {above, static_cast<double>(below)};
}

// (B - m) / left grows with every m that is certain: from m = 0 it comes to the last one from below, and what the kept keys lack of
// the sum of all is what keys not kept share.
template <class T>
HWY_ATTR void drop_hopeless_of(double budget, const ScoreSum& all, const KeptScores<T>& row, T* HWY_RESTRICT e) {
  constexpr T kNone = -std::numeric_limits<T>::infinity();
  const RowTag<T> d;
  T* HWY_RESTRICT s = row.score;
  const int64_t count = row.count[0], padded = (count + kLanes - 1) / kLanes * kLanes;
  for (int64_t i = count; i < padded; ++i) s[i] = kNone;
  const double exponent = all.exponent;  // no key's score is larger
  const auto shift = hn::Set(d, static_cast<T>(exponent));
  for (int64_t i = 0; i < padded; i += kStep<T>)
    hn::Store(exp2_nonpositive(d, hn::Sub(hn::LoadU(d, s + i), shift)), d, e + i);
  const double kept =
      static_cast<double>(lane_sum<T>(padded, [&](auto tag, int64_t i) HWY_ATTR { return hn::Load(tag, e + i); }));
  const double others = std::max(0.0, all.sum * (1 - kScoreSumError<T>)-kept);
  double left = others + kept;
  T cut = 0;
  for (int64_t m = 0; static_cast<double>(m) < budget;) {
    cut = static_cast<T>(left / (budget - static_cast<double>(m)) * (1 - 16 * kScoreSumError<T>));
    const Parted<T> parted = part(e, padded, cut);
    if (parted.above <= m) break;
    m = parted.above, left = others + parted.below;
  }
  int64_t stay = 0;
  auto most = hn::Set(d, kNone);
  const auto than = hn::Set(d, cut);
  for (int64_t i = 0; i < padded; i += kStep<T>) {
    const auto x = hn::LoadU(d, s + i);
    const auto certain = hn::Gt(hn::Load(d, e + i), than);
    most = hn::Max(most, hn::IfThenElse(certain, hn::Set(d, kNone), x));
    stay += static_cast<int64_t>(hn::CompressStore(x, certain, d, s + stay));
  }
  row.count[0] = static_cast<int32_t>(stay);
  const double share = others / (budget - 1);  // B 2^s > others + 2^s
  const T from_sum = share > 0 ? static_cast<T>(std::log2(share) + exponent) : kNone;
  row.hopeless[0] = std::max({row.hopeless[0], hn::GetLane(hn::MaxOfLanes(d, most)), from_sum});
}

HWY_ATTR void keep_hopeful_f32(const float* s, const LeafSum* sums, int64_t count, const KeptScores<float>& rows) {
  keep_hopeful_of(s, sums, count, rows);
}
HWY_ATTR void keep_hopeful_f64(const double* s, const LeafSum* sums, int64_t count, const KeptScores<double>& rows) {
  keep_hopeful_of(s, sums, count, rows);
}
HWY_ATTR void drop_hopeless_f32(double budget, const ScoreSum& all, const KeptScores<float>& row, float* scratch) {
  drop_hopeless_of(budget, all, row, scratch);
}
HWY_ATTR void drop_hopeless_f64(double budget, const ScoreSum& all, const KeptScores<double>& row, double* scratch) {
  drop_hopeless_of(budget, all, row, scratch);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(keep_hopeful_f32);
HWY_EXPORT(keep_hopeful_f64);
HWY_EXPORT(drop_hopeless_f32);
HWY_EXPORT(drop_hopeless_f64);

template <>
void keep_hopeful<float>(const float* s, const LeafSum* sums, int64_t count, const KeptScores<float>& rows) {
  HWY_DYNAMIC_DISPATCH(keep_hopeful_f32)(s, sums, count, rows);
}
template <>
void keep_hopeful<double>(const double* s, const LeafSum* sums, int64_t count, const KeptScores<double>& rows) {
  HWY_DYNAMIC_DISPATCH(keep_hopeful_f64)(s, sums, count, rows);
}
template <>
void drop_hopeless<float>(double budget, const ScoreSum& all, const KeptScores<float>& row, float* scratch) {
  HWY_DYNAMIC_DISPATCH(drop_hopeless_f32)(budget, all, row, scratch);
}
template <>
void drop_hopeless<double>(double budget, const ScoreSum& all, const KeptScores<double>& row, double* scratch) {
  HWY_DYNAMIC_DISPATCH(drop_hopeless_f64)(budget, all, row, scratch);
}

template <class T>
int64_t CertainKeys<T>::most(double budget, int64_t longest) {
  constexpr int64_t kFresh = 48;  // that pay for a search
  return std::min(static_cast<int64_t>(std::min(budget, static_cast<double>(longest))) + kFresh, longest);
}

template <class T>
int64_t CertainKeys<T>::room(double budget, int64_t longest) {
  return (most(budget, longest) + kLeafKeys + 16 + 15) / 16 * 16;
}

template <class T>
CertainKeys<T>::CertainKeys(int64_t rows, double budget, int64_t longest)
    : budget_(budget),
      most_(most(budget, longest)),
      room_(room(budget, longest)),
      score_(aligned_array<T>(static_cast<size_t>(rows * room_))),
      scratch_(aligned_array<T>(static_cast<size_t>(room_))),
      count_(static_cast<size_t>(rows)),
      hopeless_(static_cast<size_t>(rows), -std::numeric_limits<T>::infinity()) {}

template <class T>
int64_t CertainKeys<T>::bytes(int64_t rows, double budget, int64_t longest) {
  return (rows + 1) * room(budget, longest) * static_cast<int64_t>(sizeof(T));
}

template <class T>
KeptScores<T> CertainKeys<T>::from(int64_t row) {
  return {room_, score_.get() + row * room_, count_.data() + row, hopeless_.data() + row};
}

template <class T>
void CertainKeys<T>::add(int64_t row, int64_t count, const T* s, const LeafSum* sums, const ScoreSum* all) {
  keep_hopeful(s, sums, count, from(row));
  for (int64_t r = row; r < row + count; ++r)
    if (count_[static_cast<size_t>(r)] > most_) drop_hopeless(budget_, all[r - row], from(r), scratch_.get());
}

template <class T>
std::span<const T> CertainKeys<T>::of(int64_t row, const ScoreSum& all) {
  drop_hopeless(budget_, all, from(row), scratch_.get());
  return {score_.get() + row * room_, static_cast<size_t>(count_[static_cast<size_t>(row)])};
}

template class CertainKeys<float>;
template class CertainKeys<double>;

}  // namespace smartbird::kernels
#endif
