// Comparisons with a threshold, and the search for one, for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/largest.cpp"
#include "kernels/largest.h"

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Bits of 64 keys of a row: s_j > above.
template <class T>
HWY_ATTR HWY_INLINE uint64_t larger_bits(const T* HWY_RESTRICT s, T above) {
  const hn::CappedTag<T, 16> d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::CappedTag<T, 16>()));
  const auto than = hn::Set(d, above);
  uint64_t bits = 0;
  HWY_UNROLL(16)
  for (int64_t j = 0; j < 64; j += kLanes) {
    uint64_t word = 0;
    hn::StoreMaskBits(d, hn::Gt(hn::Load(d, s + j), than), reinterpret_cast<uint8_t*>(&word));
    bits |= word << j;
  }
  return bits;
}

template <class T>
HWY_ATTR void keep_larger_of(const LeafScores<T>& leaf, const KeptRows<T>& rows) {
  for (int64_t row = 0; row < leaf.rows; ++row) {
    const T above = rows.above[row];
    int64_t at = row * rows.room + rows.count[row];
    for (int64_t half = 0; half < 2; ++half) {
      const T* s = leaf.s + row * kLeafKeys + half * 64;
      uint64_t bits = above == above ? larger_bits(s, above) : ~uint64_t{0};
      if (leaf.allowed != nullptr) bits &= leaf.allowed[2 * row + half];
      for (; bits != 0; bits &= bits - 1, ++at) {
        const int64_t j = __builtin_ctzll(bits);
        rows.rank[at] = rank_of(s[j]);
        rows.key[at] = static_cast<int32_t>(leaf.first + half * 64 + j);
      }
    }
    rows.count[row] = static_cast<int32_t>(at - row * rows.room);
  }
}

// How many of rank [padded, a multiple of 16] exceed `than`.
template <class R>
HWY_ATTR HWY_INLINE int64_t count_larger(const R* HWY_RESTRICT rank, int64_t padded, R than) {
  const hn::CappedTag<R, 16> d;
  const auto least = hn::Set(d, than);
  int64_t count = 0;
  for (int64_t i = 0; i < padded; i += static_cast<int64_t>(hn::Lanes(d)))
    count += static_cast<int64_t>(hn::CountTrue(d, hn::Gt(hn::LoadU(d, rank + i), least)));
  return count;
}

// Bisection: more than `wanted` or as many exceed `low`, fewer exceed `high`; it ends early where just `wanted` do.
template <class T>
HWY_ATTR void keep_best_of(int64_t wanted, const KeptRows<T>& rows) {
  using R = Rank<T>;
  using U = std::make_unsigned_t<R>;
  constexpr R kLowest = std::numeric_limits<R>::min();
  R* HWY_RESTRICT rank = rows.rank;
  int32_t* HWY_RESTRICT key = rows.key;
  const int64_t count = rows.count[0], padded = (count + 15) / 16 * 16;
  for (int64_t i = count; i < padded; ++i) rank[i] = kLowest;
  const T above = rows.above[0];
  R low = above == above ? rank_of(above) - 1 : kLowest, high = *std::max_element(rank, rank + count);
  int64_t ties = wanted;  // of rank `high`, to be kept beside what exceeds it
  while (static_cast<U>(high) - static_cast<U>(low) > 1) {
    const R middle = static_cast<R>(static_cast<U>(low) + (static_cast<U>(high) - static_cast<U>(low)) / 2);
    const int64_t larger = count_larger(rank, padded, middle);
    (larger < wanted ? high : low) = middle;
    if (larger < wanted) ties = wanted - larger;
    if (larger == wanted) high = middle, ties = 0;
  }
  int64_t kept = 0;
  R worst = std::numeric_limits<R>::max();
  for (int64_t i = 0; i < count; ++i) {
    const R r = rank[i];
    const bool tie = r == high && ties > 0, keep = r > high || tie;
    ties -= tie;
    rank[kept] = r, key[kept] = key[i];
    worst = keep && r < worst ? r : worst;
    kept += keep;
  }
  rows.count[0] = static_cast<int32_t>(kept);
  rows.above[0] = score_of<T>(worst);
}

HWY_ATTR void keep_larger_f32(const LeafScores<float>& leaf, const KeptRows<float>& rows) {
  keep_larger_of(leaf, rows);
}
HWY_ATTR void keep_larger_f64(const LeafScores<double>& leaf, const KeptRows<double>& rows) {
  keep_larger_of(leaf, rows);
}
HWY_ATTR void keep_best_f32(int64_t wanted, const KeptRows<float>& rows) { keep_best_of(wanted, rows); }
HWY_ATTR void keep_best_f64(int64_t wanted, const KeptRows<double>& rows) { keep_best_of(wanted, rows); }

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(keep_larger_f32);
HWY_EXPORT(keep_larger_f64);
HWY_EXPORT(keep_best_f32);
HWY_EXPORT(keep_best_f64);

template <>
void keep_larger<float>(const LeafScores<float>& leaf, const KeptRows<float>& rows) {
  HWY_DYNAMIC_DISPATCH(keep_larger_f32)(leaf, rows);
}
template <>
void keep_larger<double>(const LeafScores<double>& leaf, const KeptRows<double>& rows) {
  HWY_DYNAMIC_DISPATCH(keep_larger_f64)(leaf, rows);
}
template <>
void keep_best<float>(int64_t wanted, const KeptRows<float>& rows) {
  HWY_DYNAMIC_DISPATCH(keep_best_f32)(wanted, rows);
}
template <>
void keep_best<double>(int64_t wanted, const KeptRows<double>& rows) {
  HWY_DYNAMIC_DISPATCH(keep_best_f64)(wanted, rows);
}

template <class T>
LargestOfRows<T>::LargestOfRows(int64_t rows, int64_t wanted, int64_t longest)
    : wanted_(wanted),
      most_(most(wanted, longest)),
      room_(room(wanted, longest)),
      rank_(static_cast<size_t>(rows * room_)),
      key_(rank_.size()),
      count_(static_cast<size_t>(rows)),
      above_(static_cast<size_t>(rows), std::numeric_limits<T>::quiet_NaN()) {}

template <class T>
int64_t LargestOfRows<T>::bytes(int64_t rows, int64_t wanted, int64_t longest) {
  return rows * room(wanted, longest) * static_cast<int64_t>(sizeof(Rank<T>) + sizeof(int32_t));
}

template <class T>
KeptRows<T> LargestOfRows<T>::from(int64_t row) {
  return {room_, rank_.data() + row * room_, key_.data() + row * room_, count_.data() + row, above_.data() + row};
}

template <class T>
void LargestOfRows<T>::add(int64_t row, const LeafScores<T>& leaf) {
  keep_larger(leaf, from(row));
  for (int64_t r = row; r < row + leaf.rows; ++r)
    if (count_[static_cast<size_t>(r)] > most_) keep_best(wanted_, from(r));
}

template <class T>
std::span<const int32_t> LargestOfRows<T>::of(int64_t row) {
  keep_best(wanted_, from(row));
  return {key_.data() + row * room_, static_cast<size_t>(wanted_)};
}

template <class T>
T LargestOfRows<T>::score(int64_t row, size_t i) const {
  return score_of<T>(rank_[static_cast<size_t>(row * room_) + i]);
}

template class LargestOfRows<float>;
template class LargestOfRows<double>;

}  // namespace smartbird::kernels
#endif
