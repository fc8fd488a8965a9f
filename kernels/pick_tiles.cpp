// Uniting the lists of each run of rows through a bitmap of stream positions, on all threads.
#include "kernels/pick_tiles.h"

#include <omp.h>

#include <algorithm>
#include <bit>

#include "kernels/attention_tile.h"

namespace smartbird::kernels {
namespace {

// Where a thread marks positions; all clear between unions.
class PositionSet {
 public:
  explicit PositionSet(int64_t positions)
      : seen_(static_cast<size_t>(positions + 63) / 64),
        over_((seen_.size() + 63) / 64),
        place_(static_cast<size_t>(positions)) {}

  void add(int32_t position) {
    const size_t word = static_cast<size_t>(position) / 64, group = word / 64;
    seen_[word] |= uint64_t{1} << (position % 64);
    over_[group] |= uint64_t{1} << (word % 64);
    least_ = std::min(least_, group), most_ = std::max(most_, group);
  }
  // Numbers what was added in ascending positions, forgets it and returns how many there are.
  int32_t number() {
    int32_t count = 0;
    for (size_t group = least_; group <= most_ && group < over_.size(); ++group)
      for (uint64_t& words = over_[group]; words != 0; words &= words - 1) {
        const size_t word = group * 64 + static_cast<size_t>(std::countr_zero(words));
        for (uint64_t& bits = seen_[word]; bits != 0; bits &= bits - 1)
          place_[word * 64 + static_cast<size_t>(std::countr_zero(bits))] = count++;
      }
    least_ = over_.size(), most_ = 0;
    return count;
  }
  [[nodiscard]] int32_t place(int32_t position) const { return place_[static_cast<size_t>(position)]; }

 private:
  std::vector<uint64_t> seen_, over_;  // bits of positions; of words of seen_ that are not 0
  size_t least_ = over_.size(), most_ = 0;
  RawVector<int32_t> place_;
};

// Pairs of a masked product that cost as much as one pair of a walk through lists, measured with 64 picks a list, 64 wide:
// the backward pass reads and writes a gradient a pair as well, which a product does once for all rows.
constexpr double kForwardPairs = 2.8, kBackwardPairs = 5;

// What suits rows [begin, end) of one pick head, whose lists have `united` keys.
template <class T>
Walk walk_for(const AttentionInput<T>& input, int64_t begin, int64_t end, int64_t head, int64_t united) {
  int64_t picks = 0;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t* start = input.pick_start + input.row_block[row] * input.pick_heads + head;
    picks += start[1] - start[0];
  }
  const double product = static_cast<double>(united * kTileLanes),
               pairs = static_cast<double>(picks * tile_heads(input));
  if (product > kBackwardPairs * pairs) return Walk::Lists;
  return product > kForwardPairs * pairs ? Walk::ListsForward : Walk::Union;
}

// Appends the union of the lists of rows [begin, end) and one pick head, unless none is needed.
template <class T>
Walk unite(const AttentionInput<T>& input, int64_t begin, int64_t end, int64_t head, std::optional<Walk> wish,
           PositionSet& set, RawVector<int32_t>& place, std::vector<int32_t>& unit) {
  const int64_t first = input.row_block[begin], last = input.row_block[end - 1];
  if (first == last) return Walk::Union;
  const auto for_picks = [&](auto body) {
    for (int64_t block = first; block <= last; ++block) {
      const int64_t list = block * input.pick_heads + head;
      for (int64_t i = input.pick_start[list]; i < input.pick_start[list + 1]; ++i) body(i);
    }
  };
  for_picks([&](int64_t i) { set.add(input.pick_token[i]); });
  const size_t before = unit.size();
  const int32_t united = set.number();
  const Walk walk = wish.value_or(walk_for(input, begin, end, head, united));
  if (walk == Walk::Lists) return walk;
  unit.resize(before + static_cast<size_t>(united));
  for_picks([&](int64_t i) {
    const int32_t at = set.place(input.pick_token[i]);
    place[static_cast<size_t>(i)] = at;
    unit[before + static_cast<size_t>(at)] = input.pick_unit[i];
  });
  return walk;
}

}  // namespace

template <class T>
PickTiles unite_picks(const AttentionInput<T>& input, std::optional<Walk> walk) {
  PickTiles out;
  out.row_begin = tile_rows(input);
  const int64_t runs = static_cast<int64_t>(out.row_begin.size()) - 1, heads = input.pick_heads;
  out.start.assign(static_cast<size_t>(runs * heads) + 1, 0);
  out.walk.assign(static_cast<size_t>(runs * heads), Walk::Union);
  if (heads == 0 || input.rows == 0) return out;
  out.place.resize(static_cast<size_t>(input.pick_start[input.blocks * heads]));
#pragma omp parallel
  {
    const int64_t threads = omp_get_num_threads(), me = omp_get_thread_num();
    const int64_t begin = runs * me / threads, end = runs * (me + 1) / threads;
    PositionSet set(input.num_tokens);
    std::vector<int32_t> unit;
    for (int64_t run = begin; run < end; ++run)
      for (int64_t head = 0; head < heads; ++head) {
        const size_t before = unit.size();
        out.walk[static_cast<size_t>(run * heads + head)] =
            unite(input, out.row_begin[static_cast<size_t>(run)], out.row_begin[static_cast<size_t>(run) + 1], head,
                  walk, set, out.place, unit);
        out.start[static_cast<size_t>(run * heads + head) + 1] = static_cast<int64_t>(unit.size() - before);
      }
#pragma omp barrier
#pragma omp single
    {
      for (size_t i = 1; i < out.start.size(); ++i) out.start[i] += out.start[i - 1];
      out.unit.resize(static_cast<size_t>(out.start.back()));
    }
    std::copy(unit.begin(), unit.end(), out.unit.begin() + out.start[static_cast<size_t>(begin * heads)]);
  }
  return out;
}

template PickTiles unite_picks<float>(const AttentionInput<float>&, std::optional<Walk>);
template PickTiles unite_picks<double>(const AttentionInput<double>&, std::optional<Walk>);

}  // namespace smartbird::kernels
