// The sketch keys of a few sequences, packed leaf by leaf so that the score kernel reads them in order: a panel is
// [128 / 32, M, 32], lanes outside the keys that some block sees are zero and never read. Packed in waves, so that the memory
// is bounded by the longest sequence or kWaveLeaves leaves, whichever is more.
#pragma once

#include <vector>

#include "kernels/aligned_array.h"
#include "kernels/score_panel.h"
#include "kernels/score_rows.h"

namespace smartbird::kernels {

inline constexpr int64_t kWaveLeaves = 1024;

template <class T>
class PackedKeys {
 public:
  // Packs the keys of pieces[first], ... until the wave is full; whole sequences only.
  PackedKeys(const ScanInput<T>& input, std::span<const Piece> pieces, size_t first) : first_(first), next_(first) {
    int64_t leaves = 0;
    while (next_ < pieces.size() && (next_ == first || leaves < kWaveLeaves)) {
      Range r = range_of(input, pieces[next_]);
      const size_t begin = next_;
      const ScanBlock& block = input.blocks[static_cast<size_t>(pieces[begin].begin)];
      for (++next_;
           next_ < pieces.size() && same_sequence(block, input.blocks[static_cast<size_t>(pieces[next_].begin)]);
           ++next_)
        r.join(range_of(input, pieces[next_]));
      const Sequence sequence{r.begin / kLeafKeys, leaves, r, input.keys + block.first_key * input.width};
      for (size_t i = begin; i < next_; ++i) of_piece_.push_back(sequences_.size());
      sequences_.push_back(sequence);
      leaves += sequence.num_leaves();
    }
    width_ = input.width;
    panels_ = aligned_array<T>(static_cast<size_t>(std::max<int64_t>(1, leaves) * width_ * kLeafKeys));
    std::vector<std::pair<size_t, int64_t>> work;
    for (size_t s = 0; s < sequences_.size(); ++s)
      for (int64_t leaf = 0; leaf < sequences_[s].num_leaves(); ++leaf) work.emplace_back(s, leaf);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < static_cast<int64_t>(work.size()); ++i)
      pack(sequences_[work[static_cast<size_t>(i)].first], work[static_cast<size_t>(i)].second);
  }

  [[nodiscard]] size_t next() const { return next_; }
  // Keys at positions [first, first + 128) of the piece's sequence; `first` is a multiple of 128 that a block meets.
  [[nodiscard]] const T* panel(size_t piece, int64_t first) const {
    const Sequence& s = sequences_[of_piece_[piece - first_]];
    return panels_.get() + (s.offset + first / kLeafKeys - s.first_leaf) * width_ * kLeafKeys;
  }

 private:
  struct Range {
    int64_t begin = INT64_MAX, end = 0;  // positions
    void join(const Range& other) { begin = std::min(begin, other.begin), end = std::max(end, other.end); }
  };
  struct Sequence {
    int64_t first_leaf = 0, offset = 0;  // offset: leaves of the sequences before it
    Range range;
    const T* keys = nullptr;  // of position 0
    [[nodiscard]] int64_t num_leaves() const {
      return range.begin >= range.end ? 0 : (range.end + kLeafKeys - 1) / kLeafKeys - first_leaf;
    }
  };

  static Range range_of(const ScanInput<T>& input, const Piece& piece) {
    Range r;
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      const ScanBlock& b = input.blocks[static_cast<size_t>(i)];
      if (b.left_begin < b.left_end) r.join({b.left_begin, b.left_end});
      if (b.right_begin < b.right_end) r.join({b.right_begin, b.right_end});
    }
    return r;
  }

  void pack(const Sequence& s, int64_t leaf) {
    T* panel = panels_.get() + (s.offset + leaf) * width_ * kLeafKeys;
    const int64_t first = (s.first_leaf + leaf) * kLeafKeys;
    const int64_t begin = std::max(s.range.begin, first), end = std::min(s.range.end, first + kLeafKeys);
    if (end - begin < kLeafKeys) std::fill(panel, panel + width_ * kLeafKeys, T{0});
    for (int64_t j = begin; j < end; ++j)
      for (int64_t m = 0; m < width_; ++m) panel[panel_at(j - first, m, width_)] = s.keys[j * width_ + m];
  }

  size_t first_, next_;
  int64_t width_ = 0;
  std::vector<Sequence> sequences_;
  std::vector<size_t> of_piece_;
  AlignedArray<T> panels_;
};

}  // namespace smartbird::kernels
