// What draw.cu does with a piece of 64 keys: finds the rows and keys of which a head picks, and turns them into notes.
//
// A head picks a key when its random number u lies below π = 2^(score + shift). Scores come with the shift (score_tile.cuh), so that
// one comparison with `level`, log2 of the least u of any head, finds the rows and keys of which one does: about one in a
// hundred. What is found waits until a warp has 32; then each lane takes one, forms its π and random numbers again, and compares
// them head by head. level lies a little below, for what exponents and sums err.
#pragma once

#include <cmath>

#include "kernels/draw_notes.cuh"
#include "kernels/score_tile.cuh"

namespace smartbird::kernels {
namespace {

using device::Global, device::Shared;

constexpr float kSlack = 0x1p-10F, kLowest = -1e30F;  // a row that may see a key starts from at least this: not kUnseen
constexpr float kBelowOne = 1 - 0x1p-24F;

struct Rules {
  float scale = 1, per_score = 1;  // of scores, to base 2, and its inverse; 0 and 1: scores count for nothing
  double log2_budget = 0;          // log2(K (1 - ε))
  int heads = 1, layer = 0;
  PhiloxKey key;
};

// The random numbers of a share group for heads 4 · four and three more, and a key, as draw_uniform has them but not yet floats.
__device__ inline PhiloxCounter words_of(const Rules& rules, int64_t sample, int64_t group, int four, int64_t key) {
  PhiloxKey seed = rules.key;
  seed.high ^= static_cast<uint32_t>(sample >> 32);
  return philox({static_cast<uint32_t>(sample), static_cast<uint32_t>(group),
                 static_cast<uint32_t>(rules.layer * 65536 + four), static_cast<uint32_t>(key)},
                seed);
}
__device__ inline float uniform_of(uint32_t word) {
  const float x = device::fused(static_cast<float>(word), 0x1p-32F, 0x1p-33F);
  return x < kBelowOne ? x : kBelowOne;
}

// level [64] of a share group for the keys from `first` on, by all threads, two a key. most_floor: the greatest least π of a row.
__device__ inline void find_levels(const Rules& rules, int64_t sample, int64_t group, int64_t first, float most_floor,
                                   const Shared<float>& level, int at) {
  const int key = device::thread_in_block() / 2;
  uint32_t least = ~uint32_t{0};
  for (int four = device::thread_in_block() % 2; 4 * four < rules.heads; four += 2) {
    const PhiloxCounter words = words_of(rules, sample, group, four, first + key);
#pragma unroll
    for (int n = 0; n < 4; ++n)
      if (4 * four + n < rules.heads && words[n] < least) least = words[n];
  }
  const uint32_t other = device::shuffle_xor(least, 1);
  if (device::thread_in_block() % 2 != 0) return;
  const float u = uniform_of(other < least ? other : least);
  level[at + key] = u < most_floor ? kUnseen : (device::log2_fast(u) - kSlack) * rules.per_score;
}

// How many lanes before mine hold, all in all, and how many the warp holds.
struct Held {
  int before = 0, all = 0;
};
__device__ inline Held held_before(int mine) {
  const uint32_t below = (uint32_t{1} << device::thread_in_block() % 32) - 1;
  Held out;
  for (int bit = 0; device::ballot(mine >> bit != 0) != 0; ++bit) {
    const uint32_t with = device::ballot((mine >> bit & 1) != 0);
    out.before += device::count_bits(with & below) << bit;
    out.all += device::count_bits(with) << bit;
  }
  return out;
}

// What a tile's warps need to decide.
template <class Word>
struct Scene {
  const Rules& rules;
  const ScanTile& tile;
  Global<const Word> queries, keys;
  Global<const ScanBlock> blocks;
  Global<const double> lse;
  Global<const float> least;
};

// What my warp found and has not decided yet.
template <class Word, int kWords>
class Finds {
 public:
  static constexpr int kRoom = 64;  // of a warp

  // places [warps, kRoom].
  __device__ Finds(const Shared<uint32_t>& places, NoteWriter& writer) : places_(places), writer_(writer) {}

  // Bit r · keys + j of `bits` stands for row `row` + r · step of the tile and key `key` + j of it. Keys of a row come in order.
  __device__ void add(const Scene<Word>& scene, uint32_t bits, int row, int step, int keys, int key) {
    const Held held = held_before(device::count_bits(bits));
    int mine = held.before;
    for (int done = 0; done < held.all; done += 32) {  // fewer than 32 wait
      for (; bits != 0 && mine < done + 32; bits &= bits - 1, ++mine) {
        const int bit = device::count_bits((bits & (0 - bits)) - 1);
        places_[first() + waiting_ + mine - done] =
            static_cast<uint32_t>((row + bit / keys * step) % 16) << kKeyBits | static_cast<uint32_t>(key + bit % keys);
      }
      const int more = held.all - done < 32 ? held.all - done : 32;
      waiting_ += more;
      if (waiting_ < 32) continue;
      device::sync_warp();
      decide(scene, 32);
      waiting_ -= 32;
      const int lane = device::thread_in_block() % 32;
      const uint32_t left = lane < waiting_ ? static_cast<uint32_t>(places_[first() + 32 + lane]) : 0;
      device::sync_warp();
      if (lane < waiting_) places_[first() + lane] = left;
      device::sync_warp();
    }
  }
  // After the last piece.
  __device__ void end(const Scene<Word>& scene) {
    device::sync_warp();
    decide(scene, waiting_);
  }

 private:
  __device__ static int first() { return device::thread_in_block() / 32 * kRoom; }

  __device__ void decide(const Scene<Word>& scene, int count) {
    const int lane = device::thread_in_block() % 32;
    const int64_t at = writer_.place_for(count);
    if (lane >= count || at < 0) return;
    const Rules& rules = scene.rules;
    const uint32_t place = places_[first() + lane];
    const int64_t row = scene.tile.first_row + device::thread_in_block() / 32 * 16 + (place >> kKeyBits),
                  key = scene.tile.first_leaf * kLeafKeys + (place & ((1 << kKeyBits) - 1)),
                  sample = scene.blocks[row].sample, group = scene.blocks[row].group;
    const float shift = static_cast<float>(
        device::fused(-scene.lse[row], static_cast<double>(kLog2OfE), rules.log2_budget));
    const float score = product_of<kWords>(scene.queries, row, scene.keys, scene.tile.first_key + key);
    const float chance = device::larger(device::exp2_fast(device::fused(score, rules.scale, shift)),
                                        device::exp2_fast(scene.least[row]));
    uint32_t heads = 0;
    for (int four = 0; 4 * four < rules.heads; ++four) {
      const PhiloxCounter words = words_of(rules, sample, group, four, key);
#pragma unroll
      for (int n = 0; n < 4; ++n)
        if (4 * four + n < rules.heads && chance > uniform_of(words[n])) heads |= uint32_t{1} << (4 * four + n);
    }
    writer_.put(at + lane, place, heads, chance);
  }

  const Shared<uint32_t>& places_;
  NoteWriter& writer_;
  int waiting_ = 0;
};

}  // namespace
}  // namespace smartbird::kernels
