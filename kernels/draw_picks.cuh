// What draw.cu does with a piece of 64 keys: finds the rows and keys of which a head picks, and turns them into notes.
//
// A head picks a key when its random number u lies below π = 2^(score + shift). Scores come with the shift
// (score_tile.cuh), so that one comparison with `level`, log2 of the least u of any head, finds the rows and keys of
// which one does: about one in a hundred. What is found waits until a warp has 32 to note. Afterwards a lane takes a
// note, forms its π and random numbers again, and compares them head by head. level lies a little below, for what
// exponents and sums err.
#pragma once

#include <cmath>

#include "kernels/draw_notes.cuh"
#include "kernels/score_tile.cuh"

namespace smartbird::kernels {
namespace {

using device::Global, device::Shared;

constexpr float kSlack = 0x1p-10F, kLowest = -1e30F;  // a row that may see a key starts from at least this: not kUnseen
constexpr float kAll = std::numeric_limits<float>::infinity(), kHighest = 1e30F;  // of rows that take all they may see
constexpr float kBelowOne = 1 - 0x1p-24F;

struct Rules {
  float scale = 1, per_score = 1;  // of scores, to base 2, and its inverse; 0 and 1: scores count for nothing
  double log2_budget = 0;          // log2(K (1 - ε))
  int heads = 1, layer = 0;
  PhiloxKey key;
};

// The random numbers of a share group for heads 4 · four and three more, and a key, as draw_uniform has them but not
// yet floats.
__device__ inline PhiloxCounter words_of(const Rules& rules, int64_t sample, int64_t group, int four, int64_t key) {
  PhiloxKey seed = rules.key;
  seed.high ^= static_cast<uint32_t>(sample >> 32);
  seed = {device::opaque(seed.low), device::opaque(seed.high)};  // or ten keys of rounds are carried along in registers
  return philox({static_cast<uint32_t>(sample), static_cast<uint32_t>(group),
                 static_cast<uint32_t>(rules.layer * 65536 + four), static_cast<uint32_t>(key)},
                seed);
}
__device__ inline float uniform_of(uint32_t word) {
  const float x = device::fused(static_cast<float>(word), 0x1p-32F, 0x1p-33F);
  return x < kBelowOne ? x : kBelowOne;
}

// level [64 · pieces] of a share group for the keys from `first` on, by all threads, two a key. most_floor: the
// greatest least π of a row that does not take all.
template <int kPieces>
__device__ void find_levels(const Rules& rules, int64_t sample, int64_t group, int64_t first, float most_floor,
                            const Shared<float>& level, int at) {
#pragma unroll 2
  for (int piece = 0; piece < kPieces; ++piece) {
    const int key = piece * 64 + device::thread_in_block() / 2;
    uint32_t least = ~uint32_t{0};
    for (int four = device::thread_in_block() % 2; 4 * four < rules.heads; four += 2) {
      const PhiloxCounter words = words_of(rules, sample, group, four, first + key);
#pragma unroll
      for (int n = 0; n < 4; ++n)
        if (4 * four + n < rules.heads && words[n] < least) least = words[n];
    }
    const uint32_t other = device::shuffle_xor(least, 1);
    const float u = uniform_of(other < least ? other : least);
    if (device::thread_in_block() % 2 == 0)
      level[at + key] = u < most_floor ? kUnseen : (device::log2_fast(u) - kSlack) * rules.per_score;
  }
}

// How many lanes before mine hold, all in all, and how many the warp holds.
struct Held {
  int before = 0, all = 0;
};
__device__ inline Held held_before(int mine) {
  Held out;
  for (int bit = 0; device::ballot(mine >> bit != 0) != 0; ++bit) {
    const uint32_t with = device::ballot((mine >> bit & 1) != 0);
    out.before += device::count_bits(with & lanes_below()) << bit;
    out.all += device::count_bits(with) << bit;
  }
  return out;
}

// What my warp found and has not noted yet.
class Finds {
 public:
  static constexpr int kRoom = 64;  // of a warp

  // places [warps, kRoom].
  __device__ Finds(const Shared<uint32_t>& places, NoteWriter& writer) : places_(places), writer_(writer) {}

  // Bit r · keys + j of `bits` stands for row `row` + r · step of the tile and key `key` + j of it. Keys of a row come
  // in order.
  __device__ void add(uint32_t bits, int row, int step, int keys, int key) {
    const Held held = held_before(device::count_bits(bits));
    int mine = held.before;
    for (int done = 0; done < held.all; done += 32) {  // fewer than 32 wait
      for (; bits != 0 && mine < done + 32; bits &= bits - 1, ++mine) {
        const int bit = lowest_of(bits);
        places_[first() + waiting_ + mine - done] =
            static_cast<uint32_t>((row + bit / keys * step) % 16) << kKeyBits | static_cast<uint32_t>(key + bit % keys);
      }
      waiting_ += held.all - done < 32 ? held.all - done : 32;
      if (waiting_ < 32) continue;
      device::sync_warp();
      note(32);
      waiting_ -= 32;
      const int lane = device::thread_in_block() % 32;
      const uint32_t left = lane < waiting_ ? static_cast<uint32_t>(places_[first() + 32 + lane]) : 0;
      device::sync_warp();
      if (lane < waiting_) places_[first() + lane] = left;
      device::sync_warp();
    }
  }
  // After the last piece.
  __device__ void end() {
    device::sync_warp();
    note(waiting_);
  }

 private:
  __device__ static int first() { return device::thread_in_block() / 32 * kRoom; }
  __device__ void note(int count) {
    const int lane = device::thread_in_block() % 32;
    const int64_t at = writer_.place_for(count);
    if (lane < count && at >= 0) writer_.put(at + lane, places_[first() + lane]);
  }

  const Shared<uint32_t>& places_;
  NoteWriter& writer_;
  int waiting_ = 0;
};

// What it takes to decide a note.
template <class Word>
struct Scene {
  Rules rules;
  Global<const Word> queries, keys;
  Global<const ScanBlock> blocks;
  Global<const double> lse;
  Global<const float> least;
};

// sum + q · k, of one number or of two of bfloat16.
__device__ inline float add_product(float q, float k, float sum) { return device::fused(q, k, sum); }
__device__ inline float add_product(uint32_t q, uint32_t k, float sum) {
  sum = device::fused(device::float_of(q << 16), device::float_of(k << 16), sum);
  return device::fused(device::float_of(q & 0xffff0000U), device::float_of(k & 0xffff0000U), sum);
}
// The product of a row and a key, by one thread.
template <int kWords, class Word>
__device__ float product_of(Global<const Word> queries, int64_t row, Global<const Word> keys, int64_t key) {
  float sum = 0;
#pragma unroll 2
  for (int w = 0; w < kWords; w += 4) {
    Word q[4], k[4];
    device::load16(queries, row * kWords + w, true, q);
    device::load16(keys, key * kWords + w, true, k);
#pragma unroll
    for (int n = 0; n < 4; ++n) sum = add_product(q[n], k[n], sum);
  }
  return sum;
}

// The heads that pick the key, and π.
struct Decision {
  uint32_t heads = 0;
  float chance = 1;
};
template <int kWords, class Word>
__device__ Decision decide(const Scene<Word>& scene, const ScanTile& tile, int warp, uint32_t place) {
  const Rules& rules = scene.rules;
  const int64_t row = tile.first_row + warp * kRowsOfWarp + row_of(place), key = key_of(tile, place);
  const int64_t sample = scene.blocks[row].sample, group = scene.blocks[row].group;
  const float shift =
      static_cast<float>(device::fused(-scene.lse[row], static_cast<double>(kLog2OfE), rules.log2_budget));
  const float score =
      rules.scale == 0 ? 0 : product_of<kWords, Word>(scene.queries, row, scene.keys, tile.first_key + key);
  Decision out;
  out.chance =
      device::larger(device::exp2_fast(device::fused(score, rules.scale, shift)), device::exp2_fast(scene.least[row]));
  for (int four = 0; 4 * four < rules.heads; ++four) {
    const PhiloxCounter words = words_of(rules, sample, group, four, key);
#pragma unroll
    for (int n = 0; n < 4; ++n)
      if (4 * four + n < rules.heads && out.chance > uniform_of(words[n])) out.heads |= uint32_t{1} << (4 * four + n);
  }
  return out;
}

}  // namespace
}  // namespace smartbird::kernels
