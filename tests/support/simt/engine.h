// Runs the threads of a block of a CUDA C++ kernel on the CPU, as fibers that give way where a warp or the block must meet.
// What a GPU answers with a hang is a Fault here: a barrier that not all threads reach at the same place (a line of the source;
// loops are not told apart), lanes of a warp that wait for each other. Blocks run one after the other.
#pragma once

#include <ucontext.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

namespace smartbird::simt {

inline constexpr int kLanes = 32;

struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Where a collective is called.
using Site = std::source_location;
[[nodiscard]] std::string text_of(const Site& site);

// Of the thread that runs now.
struct Place {
  int64_t block = 0, blocks = 1;
  int thread = 0, threads = 1;
};

class Block {
 public:
  Block(int64_t index, int64_t blocks, int threads);
  ~Block();

  // Until every thread has returned from `kernel`; throws what one of them throws.
  void run(const std::function<void()>& kernel);

  // From within a thread:
  [[nodiscard]] Place place() const { return {index_, blocks_, current_, static_cast<int>(threads_.size())}; }
  void sync_block(const Site& site);
  void sync_warp(const Site& site);
  // Every lane of the warp gives a value and gets those of all; all must call at the same place.
  template <class V>
  [[nodiscard]] std::array<V, kLanes> exchange(const V& value, const Site& site) {
    static_assert(sizeof(V) <= sizeof(Gift) && std::is_trivially_copyable_v<V>);
    Warp& warp = warps_[static_cast<size_t>(current_ / kLanes)];
    std::memcpy(warp.given[static_cast<size_t>(current_ % kLanes)].data(), &value, sizeof(V));
    meet(false, site);
    std::array<V, kLanes> out{};
    for (size_t lane = 0; lane < kLanes; ++lane) std::memcpy(&out[lane], warp.got[lane].data(), sizeof(V));
    return out;
  }
  // How often the block, and the whole of a warp by sync_warp, has met: accesses to memory before and after are ordered.
  [[nodiscard]] uint32_t block_epoch() const { return block_epoch_; }
  [[nodiscard]] uint32_t warp_epoch(int thread) const { return warps_[static_cast<size_t>(thread / kLanes)].epoch; }

  [[nodiscard]] static Block& current();

 private:
  enum class State { Ready, AtBlock, AtWarp, Done };
  struct Fiber {
    ucontext_t context{};
    std::unique_ptr<std::byte[]> stack;
    State state = State::Ready;
    Site site;
    bool orders = false;  // a barrier: memory before and after it
  };
  using Gift = std::array<std::byte, 64>;
  struct Warp {
    std::array<Gift, kLanes> given{}, got{};
    uint32_t epoch = 0;
  };
  static void enter();
  void meet(bool orders, const Site& site);
  void give_way(State state, const Site& site);
  void resume(int thread);
  bool release_block();
  bool release_warps();
  [[noreturn]] void report_deadlock() const;

  int64_t index_, blocks_;
  std::vector<Fiber> threads_;
  std::vector<Warp> warps_;
  ucontext_t scheduler_{};
  int current_ = 0;
  uint32_t block_epoch_ = 0;
  const std::function<void()>* kernel_ = nullptr;
  std::exception_ptr error_;
};

}  // namespace smartbird::simt
