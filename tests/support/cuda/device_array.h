// Memory of a GPU, filled from the host and read back, which waits for the GPU. Errors end the test.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

namespace smartbird::device_test {

inline void require(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", call, cudaGetErrorString(code));
  std::exit(1);
}

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count, T value = {}) : DeviceArray(std::vector<T>(count, value)) {}
  explicit DeviceArray(std::span<const T> values) : DeviceArray(std::vector<T>(values.begin(), values.end())) {}
  explicit DeviceArray(const std::vector<T>& values) : count_(values.size()) {
    require(cudaMalloc(&data_, std::max<size_t>(bytes(), 1)), "cudaMalloc");
    require(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), "cudaMemcpy to the GPU");
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  [[nodiscard]] T* data() { return static_cast<T*>(data_); }
  [[nodiscard]] std::vector<T> values() const {
    std::vector<T> out(count_);
    require(cudaMemcpy(out.data(), data_, bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy from the GPU");
    return out;
  }

 private:
  [[nodiscard]] size_t bytes() const { return count_ * sizeof(T); }

  size_t count_;
  void* data_ = nullptr;
};

}  // namespace smartbird::device_test
