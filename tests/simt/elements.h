// Numbers as kernels for a GPU take them.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace smartbird::kernels {

inline uint16_t bfloat16_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float from_bits(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// What a kernel takes, of a stream in float.
template <class Element>
std::vector<Element> elements(const std::vector<float>& x) {
  std::vector<Element> out;
  out.reserve(x.size());
  for (float value : x)
    if constexpr (std::is_same_v<Element, float>)
      out.push_back(value);
    else
      out.push_back(bfloat16_bits(value));
  return out;
}

}  // namespace smartbird::kernels
