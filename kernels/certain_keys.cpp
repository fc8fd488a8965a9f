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

// By which a threshold is set lower than it comes out: sums of scores and its own last bit.
template <class T>
T lowered(double score) {
  constexpr double kMargin = sizeof(T) == 4 ? 1e-5 : 1e-13;
  return std::nextafter(static_cast<T>(score - kMargin), -std::numeric_limits<T>::infinity());
}

template <class T>
HWY_ATTR void keep_hopeful_of(T* HWY_RESTRICT s, const LeafSum* HWY_RESTRICT sums, int64_t count,
                              const KeptScores<T>& rows) {
  const RowTag<T> d;
  const auto none = hn::Set(d, -std::numeric_limits<T>::infinity());
  for (int64_t row = 0; row < count; ++row, s += kLeafKeys) {
    const T hopeless = rows.hopeless[row];
    T* const begin = rows.score + row * rows.room + rows.count[row];
    T* out = begin;
    if (sums[row].sum != 0 && static_cast<T>(sums[row].exponent) > hopeless) {
      const auto than = hn::Set(d, hopeless);
      for (int64_t j = 0; j < kLeafKeys; j += kStep<T>) {
        const auto x = hn::Load(d, s + j);
        const auto hopeful = hn::Gt(x, than);
        if (hn::AllFalse(d, hopeful)) continue;
        out += hn::CompressStore(x, hopeful, d, out);
        hn::Store(hn::IfThenElse(hopeful, none, x), d, s + j);
      }
    }
    LeafSum rest = sums[row];
    if (out != begin) reduce_leaves(s, 1, &rest);
    add_leaf(rows.rest[row], rest);
    rows.count[row] += static_cast<int32_t>(out - begin);
  }
}

template <class T>
struct NotCertain {
  T most = 0;  // the largest score
  ScoreSum sum;
};
// Of scores [count, a multiple of 16] that do not exceed `cut`, and of the rest.
template <class T>
HWY_ATTR HWY_INLINE NotCertain<T> not_certain(const T* HWY_RESTRICT s, int64_t count, T cut, const ScoreSum& rest) {
  constexpr T kNone = -std::numeric_limits<T>::infinity();
  const auto up_to_cut = [&](auto tag, int64_t i) HWY_ATTR {
    const auto x = hn::LoadU(tag, s + i);
    return hn::IfThenElse(hn::Gt(x, hn::Set(tag, cut)), hn::Set(tag, kNone), x);
  };
  const RowTag<T> d;
  auto most = hn::Set(d, kNone);
  for (int64_t i = 0; i < count; i += kStep<T>) most = hn::Max(most, up_to_cut(d, i));
  NotCertain<T> out{hn::GetLane(hn::MaxOfLanes(d, most)), rest};
  if (out.most == kNone) return out;
  const double exponent = std::max(rest.exponent, std::ceil(static_cast<double>(out.most)));
  const T shift = static_cast<T>(exponent);
  const T sum = lane_sum<T>(count, [&](auto tag, int64_t i) HWY_ATTR {
    return exp2_nonpositive(tag, hn::Sub(up_to_cut(tag, i), hn::Set(tag, shift)));
  });
  add_leaf(out.sum, {exponent, static_cast<double>(sum)});
  return out;
}

// (B - m) / left grows with every m that is certain: from m = 0 it comes to the last one from below.
template <class T>
HWY_ATTR void drop_hopeless_of(double budget, const KeptScores<T>& row) {
  constexpr T kInf = std::numeric_limits<T>::infinity();
  const RowTag<T> d;
  T* HWY_RESTRICT s = row.score;
  const int64_t count = row.count[0], padded = (count + kLanes - 1) / kLanes * kLanes;
  for (int64_t i = count; i < padded; ++i) s[i] = -kInf;
  NotCertain<T> left = not_certain(s, padded, kInf, row.rest[0]);
  T cut = kInf;
  for (int64_t m = 0; left.sum.sum > 0 && static_cast<double>(m) < budget;) {
    const T next = lowered<T>(left.sum.exponent + std::log2(left.sum.sum / (budget - static_cast<double>(m))));
    const auto than = hn::Set(d, next);
    int64_t above = 0;
    for (int64_t i = 0; i < padded; i += kStep<T>)
      above += static_cast<int64_t>(hn::CountTrue(d, hn::Gt(hn::LoadU(d, s + i), than)));
    if (above <= m) break;
    m = above, cut = next;
    left = not_certain(s, padded, cut, row.rest[0]);
  }
  int64_t stay = 0;
  const auto than = hn::Set(d, cut);
  for (int64_t i = 0; i < padded; i += kStep<T>) {
    const auto x = hn::LoadU(d, s + i);
    stay += static_cast<int64_t>(hn::CompressStore(x, hn::Gt(x, than), d, s + stay));
  }
  row.count[0] = static_cast<int32_t>(stay);
  row.rest[0] = left.sum;
  T& hopeless = row.hopeless[0];
  hopeless = std::max(hopeless, left.most);
  if (left.sum.sum > 0)  // B 2^s > rest + 2^s
    hopeless = std::max(hopeless, lowered<T>(left.sum.exponent + std::log2(left.sum.sum / (budget - 1))));
}

HWY_ATTR void keep_hopeful_f32(float* s, const LeafSum* sums, int64_t count, const KeptScores<float>& rows) {
  keep_hopeful_of(s, sums, count, rows);
}
HWY_ATTR void keep_hopeful_f64(double* s, const LeafSum* sums, int64_t count, const KeptScores<double>& rows) {
  keep_hopeful_of(s, sums, count, rows);
}
HWY_ATTR void drop_hopeless_f32(double budget, const KeptScores<float>& row) { drop_hopeless_of(budget, row); }
HWY_ATTR void drop_hopeless_f64(double budget, const KeptScores<double>& row) { drop_hopeless_of(budget, row); }

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(keep_hopeful_f32);
HWY_EXPORT(keep_hopeful_f64);
HWY_EXPORT(drop_hopeless_f32);
HWY_EXPORT(drop_hopeless_f64);

template <>
void keep_hopeful<float>(float* s, const LeafSum* sums, int64_t count, const KeptScores<float>& rows) {
  HWY_DYNAMIC_DISPATCH(keep_hopeful_f32)(s, sums, count, rows);
}
template <>
void keep_hopeful<double>(double* s, const LeafSum* sums, int64_t count, const KeptScores<double>& rows) {
  HWY_DYNAMIC_DISPATCH(keep_hopeful_f64)(s, sums, count, rows);
}
template <>
void drop_hopeless<float>(double budget, const KeptScores<float>& row) {
  HWY_DYNAMIC_DISPATCH(drop_hopeless_f32)(budget, row);
}
template <>
void drop_hopeless<double>(double budget, const KeptScores<double>& row) {
  HWY_DYNAMIC_DISPATCH(drop_hopeless_f64)(budget, row);
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
      count_(static_cast<size_t>(rows)),
      hopeless_(count_.size(), -std::numeric_limits<T>::infinity()),
      rest_(count_.size()) {}

template <class T>
int64_t CertainKeys<T>::bytes(int64_t rows, double budget, int64_t longest) {
  return rows * room(budget, longest) * static_cast<int64_t>(sizeof(T));
}

template <class T>
KeptScores<T> CertainKeys<T>::from(int64_t row) {
  return {room_, score_.get() + row * room_, count_.data() + row, hopeless_.data() + row, rest_.data() + row};
}

template <class T>
void CertainKeys<T>::add(int64_t row, int64_t count, T* s, const LeafSum* sums) {
  keep_hopeful(s, sums, count, from(row));
  for (int64_t r = row; r < row + count; ++r)
    if (count_[static_cast<size_t>(r)] > most_) drop_hopeless(budget_, from(r));
}

template <class T>
std::span<const T> CertainKeys<T>::of(int64_t row) {
  drop_hopeless(budget_, from(row));
  return {score_.get() + row * room_, static_cast<size_t>(count_[static_cast<size_t>(row)])};
}

template class CertainKeys<float>;
template class CertainKeys<double>;

}  // namespace smartbird::kernels
#endif
