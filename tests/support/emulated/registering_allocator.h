// Makes every tensor in host memory device memory of the emulator, whose checks then hold for it.
#pragma once

#include <c10/core/CPUAllocator.h>

#include "tests/support/simt/memory.h"

namespace smartbird::device_test {

class RegisteringAllocator final : public c10::Allocator {
 public:
  // From now on, for good.
  static void install() {
    static RegisteringAllocator one(c10::GetDefaultCPUAllocator());
    c10::SetCPUAllocator(&one, 255);
  }
  c10::DataPtr allocate(size_t bytes) override {
    void* const at = base_->raw_allocate(bytes);
    const std::lock_guard guard(simt::one_at_a_time());
    if (at != nullptr) simt::register_memory(at, bytes);
    return {at, at, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  explicit RegisteringAllocator(c10::Allocator* base) : base_(base) {}
  static void release(void* at) {
    const std::lock_guard guard(simt::one_at_a_time());
    if (at != nullptr) simt::forget_memory(at);
    c10::GetDefaultCPUAllocator()->raw_deallocate(at);
  }
  c10::Allocator* base_;
};

}  // namespace smartbird::device_test
