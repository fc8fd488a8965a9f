// Notes of a draw on a GPU: what a warp of draw.cu finds, keys of a row ascending, in chunks of kNotesOfChunk that it
// takes from a pool. A warp's first chunk is its own; the others are given out as they are asked for, and each says
// which one follows.
#pragma once

#include "kernels/device.cuh"
#include "kernels/draw_device.h"
#include "kernels/lanes.cuh"
#include "kernels/scan_tiles.h"

namespace smartbird::kernels {

// A note's place: row of the warp · 2^kKeyBits + key of the tile.
inline constexpr int kKeyBits = 13;
static_assert(kMostSplitLeaves * kLeafKeys == 1 << kKeyBits);

__device__ inline int row_of(uint32_t place) { return static_cast<int>(place >> kKeyBits); }
// Position in its sequence.
__device__ inline int64_t key_of(const ScanTile& tile, uint32_t place) {
  return tile.first_leaf * kLeafKeys + (place & ((1 << kKeyBits) - 1));
}

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

constexpr int kRowsOfWarp = static_cast<int>(kTileRows) / kDrawWarps;
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
  __device__ void put(int64_t at, uint32_t place) const { pool_.place[at] = place; }
  // By one lane; after the last note with -1.
  __device__ void close(int next) const {
    if (chunk_ < pool_.chunks) pool_.count[chunk_] = used_, pool_.next[chunk_] = next;
  }

 private:
  const NotePool& pool_;
  const device::Shared<int32_t>& fresh_;
  int chunk_, used_ = 0;
};

// Calls body(note, head, number among the picks of its row and head) for a warp's picks in order, in the lanes that
// hold one, with note = load(place of the note, index of the note, whether there is one) before, whose heads picked;
// the next notes are loaded while some are worked on. seen [16, heads] from first_seen on counts the picks of rows and
// heads.
template <class Count, class Load, class Body>
__device__ void for_notes(const NotePool& pool, int64_t warp, int heads, device::Shared<Count> seen, int64_t first_seen,
                          Load load, Body body) {
  const int lane = device::thread_in_block() % 32;
  int64_t chunk = warp, next_chunk = pool.next[chunk];
  int count = pool.count[chunk], next_count = next_chunk < 0 ? 0 : static_cast<int>(pool.count[next_chunk]), first = 0;
  struct Notes {
    uint32_t place = 0;
    bool there = false;
    decltype(load(uint32_t{}, int64_t{}, true)) note;
  };
  const auto read = [&] {
    Notes out;
    out.there = first + lane < count;
    const int64_t at = chunk * kNotesOfChunk + first + lane;
    if (out.there) out.place = pool.place[at];
    out.note = load(out.place, at, out.there);
    return out;
  };
  Notes now = read();
  for (bool more = count > 0; more;) {
    first += 32;
    if (first >= count) {
      chunk = next_chunk, count = next_count, first = 0;
      if (count > 0) next_chunk = pool.next[chunk];
      next_count = count > 0 && next_chunk >= 0 ? static_cast<int>(pool.count[next_chunk]) : 0;
    }
    more = count > 0;
    Notes next;
    if (more) next = read();
    const int row = row_of(now.place);
    const uint32_t same = same_number(row, 4, now.there);
    for (int head = 0; head < heads; ++head) {
      const bool mine = (now.note.heads >> head & 1) != 0;
      const uint32_t all = device::ballot(mine);
      if (all == 0) continue;
      const uint32_t with = all & same, before = with & lanes_below();
      const int64_t slot = first_seen + row * heads + head;
      Count came = 0;
      if (mine) came = seen[slot];
      device::sync_warp();
      if (mine && before == 0) seen[slot] = came + static_cast<Count>(device::count_bits(with));
      device::sync_warp();
      if (mine) body(now.note, head, came + static_cast<Count>(device::count_bits(before)));
    }
    now = next;
  }
}

}  // namespace smartbird::kernels
