// Candidates of a leaf and their heads for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/candidates.cpp"
#include "kernels/candidates.h"

#include <cstring>

#include "kernels/targets.h"
// After targets.h.
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace smartbird::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Bits of 64 keys of a row: x_j > lowest_j.
template <class T>
HWY_ATTR HWY_INLINE uint64_t candidate_bits(const T* HWY_RESTRICT s, T shift, T least, const T* HWY_RESTRICT lowest) {
  const hn::CappedTag<T, 16> d;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::CappedTag<T, 16>()));
  const auto by = hn::Set(d, shift), at_least = hn::Set(d, least);
  uint64_t bits = 0;
  HWY_UNROLL(16)
  for (int64_t j = 0; j < 64; j += kLanes) {
    const auto x = hn::Max(hn::Add(hn::Load(d, s + j), by), at_least);
    uint64_t word = 0;
    hn::StoreMaskBits(d, hn::Gt(x, hn::Load(d, lowest + j)), reinterpret_cast<uint8_t*>(&word));
    bits |= word << j;
  }
  return bits;
}

// The keys that some head may pick, rows in order, a row's keys ascending.
template <class T>
HWY_ATTR HWY_INLINE void find_candidates(const CandidateRows<T>& rows, const T* HWY_RESTRICT lowest,
                                         Candidates<T>& out) {
  int32_t* HWY_RESTRICT to = out.at.data();
  for (int64_t row = 0; row < rows.rows; ++row)
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t first = row * kLeafKeys + half * 64;
      uint64_t bits = candidate_bits(rows.s + first, rows.shift[row], rows.least[row], lowest + half * 64);
      if (rows.allowed != nullptr) bits &= rows.allowed[2 * row + half];
      const int64_t count = __builtin_popcountll(bits);
      constexpr uint64_t kNone = uint64_t{1} << 63;  // what is stored for nothing names the last key
      const uint64_t base = static_cast<uint64_t>(first) * 0x100000001;
      int64_t i = 0;
      do {
        HWY_UNROLL(2)
        for (int64_t k = 0; k < Candidates<T>::kAtOnce; k += 2) {  // two keys in one word
          const uint64_t low = hwy::Num0BitsBelowLS1Bit_Nonzero64(bits | kNone);
          bits &= bits - 1;
          const uint64_t two = base + low + (uint64_t{hwy::Num0BitsBelowLS1Bit_Nonzero64(bits | kNone)} << 32);
          bits &= bits - 1;
          std::memcpy(to + i + k, &two, sizeof two);
        }
        i += Candidates<T>::kAtOnce;
      } while (HWY_UNLIKELY(i < count));
      to += count;
    }
  out.count = to - out.at.data();
}

// Clears the bits of `mask` whose head does not take key j after all: those so near that bounds do not tell.
template <class T>
HWY_ATTR HWY_NOINLINE uint64_t settled(uint64_t mask, uint64_t near, T x, const ThresholdOf& of, int64_t head,
                                       int64_t j) {
  for (; near != 0; near &= near - 1) {
    const int64_t bit = __builtin_ctzll(near);
    if (!exceeds_uniform(x, of, head + bit, j)) mask &= ~(uint64_t{1} << bit);
  }
  return mask;
}

template <class T>
HWY_ATTR HWY_INLINE void append_pairs(const Candidates<T>& scratch, int64_t pairs, const OpenLists<T>& lists) {
  const auto* HWY_RESTRICT list_of = scratch.list.data();
  const auto* HWY_RESTRICT candidate = scratch.candidate.data();
  const DrawnPick<T>* HWY_RESTRICT pick = scratch.pick.data();
  int32_t* HWY_RESTRICT counts = lists.count;
  DrawnPick<T>* HWY_RESTRICT to = lists.pick;
  const int64_t room = lists.room;
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t list = list_of[i];
    to[list * room + counts[list]++] = pick[candidate[i]];
  }
}

// Finds the heads of the candidates, a vector of heads at a time.
template <class T>
HWY_ATTR HWY_INLINE void settle_candidates(const CandidateRows<T>& rows, const Thresholds<T>& thresholds,
                                           Candidates<T>& scratch, const OpenLists<T>& lists) {
  using Index = typename Candidates<T>::Index;
  const hn::CappedTag<T, 1> one;
  const hn::CappedTag<T, kHeadsAside> d;
  const hn::Rebind<Index, hn::CappedTag<T, kHeadsAside>> di;
  constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(hn::CappedTag<T, kHeadsAside>()));
  const auto gap = hn::Set(d, static_cast<T>(kThresholdGap));
  const auto lanes = hn::Iota(di, Index{0});
  const int64_t heads = thresholds.num_heads, count = scratch.count;
  const int32_t* HWY_RESTRICT candidate = scratch.at.data();
  DrawnPick<T>* HWY_RESTRICT pick = scratch.pick.data();
  Index *HWY_RESTRICT to_list = scratch.list.data(), *HWY_RESTRICT to_candidate = scratch.candidate.data();
  const T *HWY_RESTRICT s = rows.s, *HWY_RESTRICT shift = rows.shift, *HWY_RESTRICT least = rows.least;
  const T* HWY_RESTRICT bounds = thresholds.below.get();
  const int32_t first = static_cast<int32_t>(thresholds.of.first);
  int64_t pairs = 0;
  for (int64_t c = 0; c < count; ++c) {
    const int64_t at = candidate[c], j = at % kLeafKeys, row = at / kLeafKeys;
    const auto x1 = hn::Max(hn::Set(one, s[at] + shift[row]), hn::Set(one, least[row]));
    const T x = hn::GetLane(x1);
    pick[c].key = first + static_cast<int32_t>(j);
    pick[c].log_pi = hn::GetLane(hn::Mul(hn::Min(x1, hn::Zero(one)), hn::Set(one, static_cast<T>(0.6931471805599453))));
    const auto xs = hn::Set(d, x);
    for (int64_t head = 0; head < heads; head += kLanes) {
      const auto below = hn::Load(d, bounds + Thresholds<T>::at(head, j));
      auto mask = hn::Gt(xs, below);
      const auto near = hn::AndNot(hn::Gt(xs, hn::Add(below, gap)), mask);
      if (HWY_UNLIKELY(!hn::AllFalse(d, near))) {
        uint64_t bits[2] = {};
        hn::StoreMaskBits(d, mask, reinterpret_cast<uint8_t*>(bits));
        hn::StoreMaskBits(d, near, reinterpret_cast<uint8_t*>(bits + 1));
        bits[0] = settled(bits[0], bits[1], x, thresholds.of, head, j);
        mask = hn::LoadMaskBits(d, reinterpret_cast<const uint8_t*>(bits));
      }
      const auto list_of = hn::Add(lanes, hn::Set(di, static_cast<Index>(row * heads + head)));
      hn::StoreU(hn::Compress(list_of, hn::RebindMask(di, mask)), di, to_list + pairs);
      hn::StoreU(hn::Set(di, static_cast<Index>(c)), di, to_candidate + pairs);
      pairs += static_cast<int64_t>(hn::CountTrue(d, mask));
      if (HWY_UNLIKELY(pairs > Candidates<T>::kPairs)) {
        append_pairs(scratch, pairs, lists);
        pairs = 0;
      }
    }
  }
  append_pairs(scratch, pairs, lists);
}

template <class T>
HWY_ATTR void pick_rows_of(const CandidateRows<T>& rows, const Thresholds<T>& thresholds, Candidates<T>& scratch,
                           const OpenLists<T>& lists) {
  find_candidates(rows, thresholds.lowest.get(), scratch);
  settle_candidates(rows, thresholds, scratch, lists);
}

HWY_ATTR void pick_rows_f32(const CandidateRows<float>& rows, const Thresholds<float>& thresholds,
                            Candidates<float>& scratch, const OpenLists<float>& lists) {
  pick_rows_of(rows, thresholds, scratch, lists);
}
HWY_ATTR void pick_rows_f64(const CandidateRows<double>& rows, const Thresholds<double>& thresholds,
                            Candidates<double>& scratch, const OpenLists<double>& lists) {
  pick_rows_of(rows, thresholds, scratch, lists);
}

}  // namespace smartbird::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace smartbird::kernels {

HWY_EXPORT(pick_rows_f32);
HWY_EXPORT(pick_rows_f64);

template <>
void pick_rows<float>(const CandidateRows<float>& rows, const Thresholds<float>& thresholds, Candidates<float>& scratch,
                      const OpenLists<float>& lists) {
  HWY_DYNAMIC_DISPATCH(pick_rows_f32)(rows, thresholds, scratch, lists);
}
template <>
void pick_rows<double>(const CandidateRows<double>& rows, const Thresholds<double>& thresholds,
                       Candidates<double>& scratch, const OpenLists<double>& lists) {
  HWY_DYNAMIC_DISPATCH(pick_rows_f64)(rows, thresholds, scratch, lists);
}

}  // namespace smartbird::kernels
#endif
