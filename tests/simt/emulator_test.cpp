// Law: what would be wrong on a GPU is an error on the emulator, which names the place; what is right runs, and matrix
// products have the documented layout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "device_array.h"
#include "kernels/device.cuh"

namespace smartbird::kernels {
namespace {

using device::Global, device::launch, device_test::DeviceArray;
using ::testing::HasSubstr;

// The message of the fault that a launch ends with; empty if it runs.
template <class... P, class... A>
std::string fault_of(void (*kernel)(P...), int64_t blocks, int threads, const A&... arguments) {
  try {
    launch("kernel", kernel, blocks, threads, {}, arguments...);
  } catch (const simt::Fault& fault) {
    return fault.what();
  }
  return "";
}

__global__ void reverse(Global<const int> from, Global<int> to, bool barrier) {
  SB_SHARED(int, held, 64);
  const int i = device::thread_in_block();
  const int64_t at = device::block_in_grid() * 64;
  held[i] = from[at + i];
  if (barrier) device::sync_block();
  to[at + i] = held[63 - i];
}

TEST(Emulator, BarriersOrderSharedMemory) {
  std::vector<int> numbers(128);
  for (int i = 0; i < 128; ++i) numbers[static_cast<size_t>(i)] = i;
  DeviceArray<int> from(numbers), to(128);
  EXPECT_EQ(fault_of(reverse, 2, 64, from.data(), to.data(), true), "");
  EXPECT_EQ(to.values()[0], 63);
  EXPECT_EQ(to.values()[127], 64);
  EXPECT_THAT(fault_of(reverse, 2, 64, from.data(), to.data(), false),
              HasSubstr("read of shared held[63] by thread 0, which nobody wrote"));
}

__global__ void turn_twice(Global<int> out) {  // no barrier between reading and writing again
  SB_SHARED(int, held, 64);
  const int i = device::thread_in_block();
  held[i] = i;
  device::sync_block();
  const int other = held[63 - i];
  held[i] = other;
  out[i] = other;
}

TEST(Emulator, FindsRaces) {
  DeviceArray<int> out(64);
  EXPECT_THAT(fault_of(turn_twice, 1, 64, out.data()), HasSubstr("race: thread"));
}

__global__ void swap_in_warp(Global<int> out, bool sync) {
  SB_SHARED(int, held, 64);
  const int i = device::thread_in_block();
  held[i] = i;
  if (sync)
    device::sync_warp();
  else
    device::ballot(true);  // meets, but orders nothing
  out[i] = held[i ^ 1];
}

TEST(Emulator, WarpBarriersOrderTheirWarp) {
  DeviceArray<int> out(64);
  EXPECT_EQ(fault_of(swap_in_warp, 1, 64, out.data(), true), "");
  EXPECT_EQ(out.values()[5], 4);
  EXPECT_THAT(fault_of(swap_in_warp, 1, 64, out.data(), false), HasSubstr("no barrier in between"));
}

__global__ void halves_wait(Global<int> out) {
  if (device::thread_in_block() < 32)
    device::sync_block();
  else
    device::sync_block();
  out[device::thread_in_block()] = 1;
}
__global__ void some_leave(Global<int> out) {
  if (device::thread_in_block() == 7) return;
  device::sync_block();
  out[device::thread_in_block()] = 1;
}
__global__ void half_a_warp_shuffles(Global<int> out) {
  if (device::thread_in_block() < 16) out[device::thread_in_block()] = device::shuffle_xor(1, 1);
}

TEST(Emulator, FindsDivergentBarriers) {
  DeviceArray<int> out(64);
  EXPECT_THAT(fault_of(halves_wait, 1, 64, out.data()), HasSubstr("divergent barrier: threads 0 and 32 wait at"));
  EXPECT_THAT(fault_of(some_leave, 1, 64, out.data()), HasSubstr("from thread 7 on ended"));
  EXPECT_THAT(fault_of(half_a_warp_shuffles, 1, 32, out.data()), HasSubstr("divergent barrier"));
}

__global__ void ask_around(Global<const int> from, Global<int> to, int64_t place) {
  const int i = device::thread_in_block(), mine = from[i];
  const int four[4] = {device::shuffle(mine, 31 - i), device::shuffle_xor(mine, 1), device::least(mine - 20 * i),
                       static_cast<int>(device::pair_of(1.00390625F, -1.01171875F))};
  device::store16(four, to, place + 4 * i);
}

TEST(Emulator, LanesGiveAndStoreTogether) {
  std::vector<int> numbers(32);
  for (int i = 0; i < 32; ++i) numbers[static_cast<size_t>(i)] = i * i;
  DeviceArray<int> from(numbers), to(132);
  EXPECT_EQ(fault_of(ask_around, 1, 32, from.data(), to.data(), int64_t{0}), "");
  const std::vector<int> got = to.values();
  EXPECT_EQ(std::vector<int>(got.begin() + 20, got.begin() + 24),
            (std::vector<int>{26 * 26, 16, -100, static_cast<int>(0xbf823f80)}));  // ties to even
  EXPECT_THAT(fault_of(ask_around, 1, 32, from.data(), to.data(), int64_t{1}), HasSubstr("store of 16 bytes"));
  EXPECT_THAT(fault_of(ask_around, 1, 32, from.data(), to.data(), int64_t{8}), HasSubstr("of device memory"));
  EXPECT_THAT(fault_of(ask_around, 1, 20, from.data(), to.data(), int64_t{0}), HasSubstr("that has 20 lanes"));
}

__global__ void copy_all(Global<const int> from, Global<int> to, int64_t count, bool guarded) {
  const int64_t i = device::block_in_grid() * 32 + device::thread_in_block();
  if (!guarded || i < count) to[i] = from[i];
}

TEST(Emulator, FindsAccessBeyondAnAllocation) {
  DeviceArray<int> from(70), to(70);
  EXPECT_EQ(fault_of(copy_all, 3, 32, from.data(), to.data(), int64_t{70}, true), "");
  EXPECT_THAT(fault_of(copy_all, 3, 32, from.data(), to.data(), int64_t{70}, false),
              HasSubstr("element 70 of device memory that has 70"));
  std::vector<int> host(70);
  EXPECT_THAT(fault_of(copy_all, 3, 32, host.data(), to.data(), int64_t{70}, true), HasSubstr("not the device's"));
}

__global__ void fetch(Global<const float> from, Global<float> to, bool wait, int64_t first) {
  SB_SHARED(float, held, 128);
  const int i = device::thread_in_block();
  device::start_copy16<float>(held, 4 * i, from, first + 4 * i, i < 31);
  device::commit_copies();
  if (wait) device::await_copies<0>();
  device::sync_block();
  to[i] = held[127 - i];
  if (!wait) device::await_copies<0>();
}

TEST(Emulator, CopiesAreThereOnceAwaited) {
  std::vector<float> numbers(160);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  DeviceArray<float> from(numbers), to(32);
  EXPECT_EQ(fault_of(fetch, 1, 32, from.data(), to.data(), true, int64_t{4}), "");
  EXPECT_EQ(to.values()[0], 0);    // not valid: zeros
  EXPECT_EQ(to.values()[4], 127);  // element 123 of the copy
  EXPECT_THAT(fault_of(fetch, 1, 32, from.data(), to.data(), false, int64_t{4}),
              HasSubstr("while a copy to it is on its way"));
  EXPECT_THAT(fault_of(fetch, 1, 32, from.data(), to.data(), true, int64_t{2}), HasSubstr("not aligned"));
}

__global__ void never_awaited(Global<const float> from) {
  SB_SHARED(float, held, 128);
  device::start_copy16<float>(held, 4 * device::thread_in_block(), from, 0, true);
  device::commit_copies();
}
__global__ void too_much_shared() { SB_SHARED(double, held, 7000); }

TEST(Emulator, FindsCopiesLeftBehindAndTooMuchSharedMemory) {
  DeviceArray<float> from(4);
  EXPECT_THAT(fault_of(never_awaited, 1, 32, from.data()), HasSubstr("on their way"));
  EXPECT_THAT(fault_of(too_much_shared, 1, 32), HasSubstr("56000 bytes of static shared memory"));
}

__global__ void vote(Global<uint32_t> out, uint32_t odd) {
  const uint32_t votes = device::ballot(device::thread_in_block() % 2 == static_cast<int>(odd));
  out[device::thread_in_block()] = votes;
}

TEST(Emulator, LanesVoteInTheirPlaces) {
  DeviceArray<uint32_t> out(64);
  EXPECT_EQ(fault_of(vote, 1, 64, out.data(), 1U), "");
  EXPECT_EQ(out.values(), std::vector<uint32_t>(64, 0xaaaaaaaa));
}

__global__ void count_even_threads(Global<int32_t> count, Global<int32_t> before) {
  const int me = device::thread_in_block();
  before[me] = me % 2 == 0 ? device::add(count, 1, 3) : -1;
}

TEST(Emulator, AddsToOneNumberFromManyThreads) {
  DeviceArray<int32_t> count(std::vector<int32_t>{5, 7}), before(64);
  EXPECT_EQ(fault_of(count_even_threads, 1, 64, count.data(), before.data()), "");
  EXPECT_EQ(count.values(), (std::vector<int32_t>{5, 7 + 32 * 3}));
  std::vector<int32_t> seen = before.values();
  std::sort(seen.begin(), seen.end());
  for (int32_t i = 0; i < 32; ++i) EXPECT_EQ(seen[static_cast<size_t>(32 + i)], 7 + 3 * i);
  EXPECT_THAT(fault_of(count_even_threads, 1, 96, count.data(), before.data()), HasSubstr("device memory"));
}

// One product of a warp, operands and result written row by row.
__global__ void multiply(Global<const uint32_t> a, Global<const uint32_t> b, Global<float> c) {
  const int lane = device::thread_in_block(), g = lane / 4, t = lane % 4;
  const uint32_t rows[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};
  const uint32_t columns[2] = {b[g * 8 + t], b[g * 8 + t + 4]};  // b column by column
  float out[4] = {1, 1, 1, 1};
  device::mma_16x8x16(rows, columns, out, out);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = out[i];
}

TEST(Emulator, MatrixProductsHaveTheDocumentedLayout) {
  std::mt19937 random(1);
  const auto small = [&] { return static_cast<float>(static_cast<int>(random() % 9) - 4); };  // exact in bfloat16
  std::vector<float> a(16 * 16), b(8 * 16);
  for (float& x : a) x = small();
  for (float& x : b) x = small();
  const auto pack = [](const std::vector<float>& x) {
    std::vector<uint32_t> out;
    for (size_t i = 0; i < x.size(); i += 2)
      out.push_back(std::bit_cast<uint32_t>(x[i]) >> 16 | (std::bit_cast<uint32_t>(x[i + 1]) & 0xffff0000U));
    return out;
  };
  DeviceArray<uint32_t> rows(pack(a)), columns(pack(b));
  DeviceArray<float> c(16 * 8);
  ASSERT_EQ(fault_of(multiply, 1, 32, rows.data(), columns.data(), c.data()), "");
  for (size_t i = 0; i < 16; ++i)
    for (size_t j = 0; j < 8; ++j) {
      float sum = 1;
      for (size_t k = 0; k < 16; ++k) sum += a[i * 16 + k] * b[j * 16 + k];
      EXPECT_EQ(c.values()[i * 8 + j], sum);
    }
}

}  // namespace
}  // namespace smartbird::kernels
