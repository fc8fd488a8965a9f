// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
// A number is a pure function of what it is for: key = (seed, step, purpose), counter = (sample, position or share
// group, layer or head, key). No rank, thread, micro-step or buffer offset ever enters, so every world size draws the
// same numbers. Uniforms are (x + 0.5) / 2^32, inside the open interval (0, 1).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace smartbird {

using PhiloxCounter = std::array<uint32_t, 4>;

struct PhiloxKey {
  uint32_t low = 0, high = 0;
};

// Streams that must never share numbers.
enum class Purpose : uint32_t {
  Draw = 1,
  Probe = 2,
  Dropout = 3,
  MaskTokens = 4,
  Init = 5,
  Order = 6,
  Cut = 7,
  Generate = 8,
  Evaluate = 9,
  Weight = 10,
  Tool = 11
};

[[nodiscard]] constexpr PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0], b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key.low, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key.high, static_cast<uint32_t>(a)};
    key.low += 0x9E3779B9u;
    key.high += 0xBB67AE85u;
  }
  return counter;
}

// The key of a stream: one Philox block over (seed, step, purpose).
[[nodiscard]] inline PhiloxKey philox_key(uint64_t seed, uint64_t step, Purpose purpose) {
  const PhiloxCounter x =
      philox({static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32), static_cast<uint32_t>(purpose), 0x5B1Du},
             {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return {x[0], x[1]};
}

[[nodiscard]] constexpr double uniform(uint32_t bits) { return (bits + 0.5) * 0x1p-32; }

// One uniform for (a, b, c, d); a may exceed 32 bits (its upper half is folded into the key).
[[nodiscard]] inline double uniform_at(PhiloxKey key, uint64_t a, uint32_t b, uint32_t c, uint32_t d) {
  key.high ^= static_cast<uint32_t>(a >> 32);
  return uniform(philox({static_cast<uint32_t>(a), b, c, d}, key)[0]);
}

// Two independent standard normals (Box and Muller) from one block.
[[nodiscard]] inline std::array<double, 2> normal_pair(const PhiloxCounter& bits) {
  const double radius = std::sqrt(-2.0 * std::log(uniform(bits[0])));
  const double angle = 6.283185307179586476925 * uniform(bits[1]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace smartbird
