// Notes of a draw on a GPU: what a warp of draw.cu meets, keys of a row ascending, in chunks of kNotesOfChunk that it takes from
// a pool. A warp's first chunk is its own; the others are given out as they are asked for, and each says which one follows.
#pragma once

#include "kernels/device.cuh"
#include "kernels/draw_device.h"
#include "kernels/scan_tiles.h"

namespace smartbird::kernels {

// A note's place: row of the warp · 2^kKeyBits + key of the tile.
inline constexpr int kKeyBits = 13;
static_assert(kMostSplitLeaves * kLeafKeys == 1 << kKeyBits);

// The pool, in device memory.
struct NotePool {
  device::Global<int32_t> taken, count, next;
  device::Global<uint32_t> place, heads;
  device::Global<float> chance;
  int64_t chunks;
};

inline NotePool pool_of(const DeviceDrawNotes& notes) {
  return {notes.taken, notes.count, notes.next, notes.place, notes.heads, notes.chance, notes.chunks};
}

__device__ inline int64_t warp_in_grid() {
  return device::block_in_grid() * kDrawWarps + device::thread_in_block() / 32;
}

// Where my warp notes. Notes that find no chunk are counted and lost: the host sees it by `taken`.
class NoteWriter {
 public:
  // fresh [warps].
  __device__ NoteWriter(const NotePool& pool, const device::Shared<int32_t>& fresh)
      : pool_(pool), fresh_(fresh), chunk_(static_cast<int>(warp_in_grid())) {}

  // The place of the first of `more` notes of the warp, at most 32; -1 where they are lost.
  __device__ int64_t place_for(int more) {
    if (used_ + more > kNotesOfChunk) {
      const int warp = device::thread_in_block() / 32;
      const bool first = device::thread_in_block() % 32 == 0;
      if (first) fresh_[warp] = device::add(pool_.taken, 0, 1);
      device::sync_warp();
      const int chunk = fresh_[warp];
      device::sync_warp();
      if (first) close(chunk < pool_.chunks ? chunk : -1);
      chunk_ = chunk, used_ = 0;
    }
    const int64_t at = chunk_ < pool_.chunks ? int64_t{chunk_} * kNotesOfChunk + used_ : -1;
    used_ += more;
    return at;
  }
  __device__ void put(int64_t at, uint32_t place, uint32_t heads, float chance) const {
    pool_.place[at] = place, pool_.heads[at] = heads, pool_.chance[at] = chance;
  }
  // By one lane; after the last note with -1.
  __device__ void close(int next) const {
    if (chunk_ < pool_.chunks) pool_.count[chunk_] = used_, pool_.next[chunk_] = next;
  }

 private:
  const NotePool& pool_;
  const device::Shared<int32_t>& fresh_;
  int chunk_, used_ = 0;
};

// The lanes of my warp whose number, of kBits bits, is mine; of those there.
template <int kBits>
__device__ uint32_t same_number(int number, bool there) {
  uint32_t same = device::ballot(there);
#pragma unroll
  for (int bit = 0; bit < kBits; ++bit) {
    const bool mine = (number >> bit & 1) != 0;
    const uint32_t with = device::ballot(mine);
    same &= mine ? with : ~with;
  }
  return same;
}

// Calls body(note, head, number among the picks of its row and head) for my warp's picks in order, in the lanes that hold one, with
// note = load(place of the note, index of the note) before; seen [16, heads] from first_seen on counts the picks of rows and heads.
template <class Count, class Load, class Body>
__device__ void for_notes(const NotePool& pool, int heads, device::Shared<Count> seen, int64_t first_seen, Load load, Body body) {
  const int lane = device::thread_in_block() % 32;
  for (int64_t chunk = warp_in_grid(); chunk >= 0;) {
    const int count = pool.count[chunk];
    const int64_t next = pool.next[chunk];
    for (int first = 0; first < count; first += 32) {
      const bool there = first + lane < count;
      const int64_t at = chunk * kNotesOfChunk + first + lane;
      const uint32_t place = there ? pool.place[at] : 0, of = there ? pool.heads[at] : 0;
      const int row = static_cast<int>(place >> kKeyBits);
      const auto note = load(place, at, there);
      const uint32_t same = same_number<4>(row, there);
      for (int head = 0; head < heads; ++head) {
        const bool mine = (of >> head & 1) != 0;
        const uint32_t all = device::ballot(mine);
        if (all == 0) continue;
        const uint32_t with = all & same, before = with & ((uint32_t{1} << lane) - 1);
        const int64_t slot = first_seen + row * heads + head;
        Count came = 0;
        if (mine) came = seen[slot];
        device::sync_warp();
        if (mine && before == 0) seen[slot] = came + static_cast<Count>(device::count_bits(with));
        device::sync_warp();
        if (mine) body(note, head, came + static_cast<Count>(device::count_bits(before)));
      }
    }
    chunk = next;
  }
}

}  // namespace smartbird::kernels
