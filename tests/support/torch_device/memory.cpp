// One range, cut into pieces whose sizes are powers of two; a piece that was given back serves the next of its size.
#include "tests/support/torch_device/memory.h"

#include <sys/mman.h>

#include <bit>
#include <map>
#include <mutex>
#include <vector>

#include "tests/support/device_reach.h"
#include "tests/support/simt/memory.h"

namespace smartbird::torch_device {
namespace {

constexpr size_t kBytes = size_t{1} << 30, kLeast = 256;

class Memory {
 public:
  static Memory& one() {
    static Memory memory;
    return memory;
  }
  std::byte* take(size_t bytes) {
    const std::lock_guard guard(mutex_);
    const size_t size = std::bit_ceil(std::max(bytes, kLeast));
    std::vector<std::byte*>& free = free_[size];
    std::byte* out = nullptr;
    if (free.empty()) {
      TORCH_CHECK_WITH(OutOfMemoryError, used_ + size <= kBytes, "the stand-in device has ", kBytes, " bytes");
      out = begin_ + used_, used_ += size;
    } else {
      out = free.back(), free.pop_back();
    }
    taken_[out] = size;
    return out;
  }
  void give_back(std::byte* at) {
    const std::lock_guard guard(mutex_);
    const auto piece = taken_.find(at);
    free_[piece->second].push_back(at);
    taken_.erase(piece);
  }
  [[nodiscard]] bool holds(const void* at) const { return at >= begin_ && at < begin_ + kBytes; }
  void reach(bool begins) {
    const std::lock_guard guard(mutex_);
    if (begins ? open_++ == 0 : --open_ == 0) mprotect(begin_, kBytes, begins ? PROT_READ | PROT_WRITE : PROT_NONE);
  }

 private:
  Memory()
      : begin_(static_cast<std::byte*>(
            mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
    TORCH_CHECK(begin_ != MAP_FAILED, "no addresses for the stand-in device");
    testing::device_reach = [](bool begins) { one().reach(begins); };
  }
  std::recursive_mutex mutex_;
  std::byte* begin_;
  size_t used_ = 0;
  int open_ = 0;
  std::map<size_t, std::vector<std::byte*>> free_;
  std::map<std::byte*, size_t> taken_;
};

class DeviceAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device device(c10::DeviceType::PrivateUse1, current_device());
    if (bytes == 0) return {nullptr, nullptr, &release, device};
    std::byte* const at = Memory::one().take(bytes);
    const std::lock_guard guard(simt::one_at_a_time());
    simt::register_memory(at, bytes);
    return {at, at, &release, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    const testing::DeviceReach reach;
    default_copy_data(to, from, bytes);
  }

 private:
  static void release(void* at) {
    if (at == nullptr) return;
    {
      const std::lock_guard guard(simt::one_at_a_time());
      simt::forget_memory(at);
    }
    Memory::one().give_back(static_cast<std::byte*>(at));
  }
};

}  // namespace

c10::Allocator* allocator() {
  static DeviceAllocator one;
  return &one;
}

c10::DeviceIndex& current_device() {
  thread_local c10::DeviceIndex current = 0;
  return current;
}

bool holds(const void* at) { return Memory::one().holds(at); }

}  // namespace smartbird::torch_device
