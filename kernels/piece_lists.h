// The picks of one piece of blocks as they are found: a list per (block, head), each growing at its end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/raw_vector.h"
#include "kernels/aligned_array.h"
#include "kernels/candidates.h"

namespace smartbird::kernels {

template <class T>
class PieceLists {
 public:
  // Begins anew with empty lists; expected: picks of a list, to make room for.
  void clear(int64_t lists, int64_t expected) {
    if (static_cast<size_t>(lists) > count_.size() || expected > room_) {
      count_.assign(static_cast<size_t>(lists), 0);
      make_room(std::max(expected, room_));
    }
    count_.assign(static_cast<size_t>(lists), 0);
  }

  void append(int64_t list, int64_t key, T log_pi) {
    int32_t& count = count_[static_cast<size_t>(list)];
    if (count == room_) make_room(2 * room_ + 8);
    pick_.data()[list * room_ + count++] = {static_cast<int32_t>(key), log_pi};
  }

  // The `lists` lists from `first` on, each with room for `more` picks.
  [[nodiscard]] OpenLists<T> reserve(int64_t first, int64_t lists, int64_t more) {
    int32_t longest = 0;
    for (int64_t list = first; list < first + lists; ++list)
      longest = std::max(longest, count_[static_cast<size_t>(list)]);
    if (longest + more > room_) make_room(2 * room_ + more);
    return {count_.data() + first, pick_.data() + first * room_, room_};
  }

  [[nodiscard]] const std::vector<int32_t>& count() const { return count_; }
  [[nodiscard]] int64_t size() const { return std::accumulate(count_.begin(), count_.end(), int64_t{0}); }
  // Writes the lists one after the other; key and log_pi [size()].
  void copy_to(int32_t* key, T* log_pi) const {
    for (size_t list = 0; list < count_.size(); ++list) {
      const DrawnPick<T>* from = pick_.data() + static_cast<int64_t>(list) * room_;
      for (int32_t i = 0; i < count_[list]; ++i) key[i] = from[i].key, log_pi[i] = from[i].log_pi;
      key += count_[list], log_pi += count_[list];
    }
  }

 private:
  void make_room(int64_t room) {
    AlignedBuffer<DrawnPick<T>> pick;
    DrawnPick<T>* to = pick.reserve(static_cast<size_t>(room) * count_.size());
    for (size_t list = 0; list < count_.size(); ++list)
      std::copy_n(pick_.data() + static_cast<int64_t>(list) * room_, count_[list],
                  to + static_cast<int64_t>(list) * room);
    pick_ = std::move(pick), room_ = room;
  }
  int64_t room_ = 0;
  std::vector<int32_t> count_;
  AlignedBuffer<DrawnPick<T>> pick_;
};

}  // namespace smartbird::kernels
