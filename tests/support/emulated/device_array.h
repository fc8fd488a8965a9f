// Memory of the emulated device, filled from the host and read back. The build gives this body, or tests/support/cuda's.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "tests/support/simt/memory.h"

namespace smartbird::device_test {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count, T value = {}) : DeviceArray(std::vector<T>(count, value)) {}
  explicit DeviceArray(std::span<const T> values) : DeviceArray(std::vector<T>(values.begin(), values.end())) {}
  explicit DeviceArray(std::vector<T> values)
      : count_(values.size()), data_(std::make_unique_for_overwrite<T[]>(values.size())) {
    std::copy(values.begin(), values.end(), data_.get());
    simt::register_memory(data_.get(), count_ * sizeof(T));
  }
  ~DeviceArray() { simt::forget_memory(data_.get()); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  [[nodiscard]] T* data() { return data_.get(); }
  [[nodiscard]] std::vector<T> values() const { return {data_.get(), data_.get() + count_}; }

 private:
  size_t count_;
  std::unique_ptr<T[]> data_;
};

}  // namespace smartbird::device_test
