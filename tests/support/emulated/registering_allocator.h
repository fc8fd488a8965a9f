// Makes every tensor in host memory device memory of the emulator, whose checks then hold for it.
#pragma once

#include <c10/core/CPUAllocator.h>

#include "tests/support/simt/memory.h"

namespace smartbird::device_test {

class RegisteringAllocator final : public c10::Allocator {
 public:
  // From now on, for good.
  static void install() {
    static RegisteringAllocator one(c10::GetCPUAllocator());
    c10::SetCPUAllocator(&one, 255);
  }
  c10::DataPtr allocate(size_t bytes) override {
    auto* held = new c10::DataPtr(base_->allocate(bytes));
    const std::lock_guard guard(simt::one_at_a_time());
    if (held->get() != nullptr) simt::register_memory(held->get(), bytes);
    return {held->get(), held, &release, c10::Device(c10::kCPU)};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  explicit RegisteringAllocator(c10::Allocator* base) : base_(base) {}
  static void release(void* context) {
    auto* held = static_cast<c10::DataPtr*>(context);
    const std::lock_guard guard(simt::one_at_a_time());
    if (held->get() != nullptr) simt::forget_memory(held->get());
    delete held;
  }
  c10::Allocator* base_;
};

}  // namespace smartbird::device_test
