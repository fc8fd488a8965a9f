// The host's side of kernels/device.cuh: what the emulator does where a GPU has an instruction.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "tests/support/device_reach.h"
#include "tests/support/simt/memory.h"

#define __global__
#define __device__
#define __launch_bounds__(...)
#define SB_SHARED(T, name, count) const ::smartbird::simt::Shared<T> name(#name, count)

namespace smartbird::kernels::device {

using simt::Global, simt::Shared, simt::Site;

inline int thread_in_block() { return simt::Block::current().place().thread; }
inline int64_t block_in_grid() { return simt::Block::current().place().block; }
inline int64_t blocks_in_grid() { return simt::Block::current().place().blocks; }
inline void sync_block(Site site = Site::current()) { simt::Block::current().sync_block(site); }
inline void sync_warp(Site site = Site::current()) { simt::Block::current().sync_warp(site); }
auto all_lanes(auto value, Site site) { return simt::Block::current().exchange(value, site); }
auto shuffle(auto value, int lane, Site site = Site::current()) { return all_lanes(value, site).at(lane); }
auto shuffle_xor(auto value, int lanes, Site site = Site::current()) {
  return all_lanes(value, site)[static_cast<size_t>(thread_in_block() % 32 ^ lanes)];
}
inline int32_t least(int32_t value, Site site = Site::current()) { return std::ranges::min(all_lanes(value, site)); }
inline uint32_t ballot(bool vote, Site site = Site::current()) {
  uint32_t out = 0;
  for (const bool other : all_lanes(vote, site)) out = out >> 1 | static_cast<uint32_t>(other) << 31;
  return out;
}

inline float exp2_fast(float x) { return std::exp2(x); }
inline float log2_fast(float x) { return std::log2(x); }
inline auto fused(auto a, auto b, auto c) { return std::fma(a, b, c); }
inline auto root(auto x) { return std::sqrt(x); }
inline float larger(float a, float b) { return std::fmax(a, b); }
inline uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }
inline float float_of(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t pair_of(float low, float high) {
  const auto rounded = [](uint32_t x) {
    return (x & 0x7fffffffU) > 0x7f800000U ? 0x7fffU : (x + 0x7fffU + (x >> 16 & 1)) >> 16;
  };
  return rounded(bits_of(low)) | rounded(bits_of(high)) << 16;
}
inline uint32_t opaque(uint32_t x) { return x; }
inline int count_bits(uint32_t bits) { return std::popcount(bits); }

template <class T, int kCount>
void load16(Global<const T> from, int64_t i, bool valid, T (&to)[kCount]) {
  const T* source = valid ? from.checked(i, kCount) : nullptr;
  if (reinterpret_cast<uintptr_t>(source) % 16 != 0) throw simt::Fault("a load of 16 bytes that are not aligned");
  for (int n = 0; n < kCount; ++n) to[n] = source == nullptr ? T{} : source[n];
}

template <class T, int kCount>
void store16(const T (&from)[kCount], Global<T> to, int64_t i) {
  T* target = to.checked(i, kCount);
  if (reinterpret_cast<uintptr_t>(target) % 16 != 0) throw simt::Fault("a store of 16 bytes that are not aligned");
  std::copy_n(from, kCount, target);
}

template <class T, int kCount>
void load_shared(const Shared<T>& from, int64_t i, T (&to)[kCount]) {
  if (i % kCount != 0) throw simt::Fault(std::string("a wide load that is not aligned, of shared ") + from.name());
  for (int n = 0; n < kCount; ++n) to[n] = from[i + n];
}

template <class T>
void start_copy16(const Shared<T>& to, int64_t i, Global<const T> from, int64_t j, bool valid) {
  constexpr int64_t n = 16 / sizeof(T);
  const T* source = valid ? from.checked(j, n) : nullptr;
  T* target = to.raw(i, n);
  if (reinterpret_cast<uintptr_t>(source) % 16 != 0 || i % n != 0)
    throw simt::Fault(std::string("a copy of 16 bytes that are not aligned, to shared ") + to.name());
  for (int64_t k = 0; k < n; ++k) {
    simt::SharedMemory::current().note_write(to.shadow(i + k), to.name(), i + k);
    to.shadow(i + k).in_flight = true;
  }
  simt::SharedMemory::current().start_copy([=] {
    for (int64_t k = 0; k < n; ++k) {
      target[k] = source == nullptr ? T{} : source[k], to.shadow(i + k).in_flight = false;
      simt::SharedMemory::current().note_write(to.shadow(i + k), to.name(), i + k);
    }
  });
}
inline void commit_copies() { simt::SharedMemory::current().commit(); }
template <int kGroups>
constexpr auto await_copies = [] { simt::SharedMemory::current().wait(kGroups); };

// PTX ISA, "Matrix Fragments for mma.m16n8k16": with g = lane / 4, t = lane % 4, a[i] holds row g + 8 (i % 2), columns
// 2t + 8 (i / 2) and the next; b[i] rows 2t + 8 i and the next, column g; c[i] row g + 8 (i / 2), column 2t + i % 2.
inline void mma_16x8x16(const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4], float (&d)[4],
                        Site site = Site::current()) {
  const auto all = all_lanes(std::array{a[0], a[1], a[2], a[3], b[0], b[1]}, site);
  const auto half = [](uint32_t word, size_t odd) { return float_of(odd != 0 ? word & 0xffff0000U : word << 16); };
  for (size_t i = 0, lane = static_cast<size_t>(thread_in_block() % 32); i < 4; ++i) {
    const size_t row = lane / 4, column = lane % 4 * 2 + i % 2;
    d[i] = c[i];
    for (size_t k = 0; k < 16; ++k)
      d[i] += half(all[row * 4 + k % 8 / 2][i / 2 + k / 8 * 2], k % 2) *
              half(all[column * 4 + k % 8 / 2][4 + k / 8], k % 2);
  }
}
inline int32_t add(Global<int32_t> to, int64_t i, int32_t value) { return std::exchange(to[i], to[i] + value); }

template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), int64_t blocks, int threads, Stream, const A&... arguments) {
  const std::lock_guard guard(simt::one_at_a_time());
  const testing::DeviceReach reach;
  for (int64_t i = 0; i < blocks; ++i) {
    simt::SharedMemory shared;
    simt::Block block(i, blocks, threads);
    try {
      block.run([&] { kernel(P(arguments)...); });
      shared.check_all_awaited();
    } catch (const simt::Fault& fault) {
      throw simt::Fault(std::string(name) + ", block " + std::to_string(i) + ": " + fault.what());
    }
  }
}

}  // namespace smartbird::kernels::device
