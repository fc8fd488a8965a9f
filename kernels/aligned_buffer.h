// A growing array whose start is aligned for every vector load; growing forgets what it held.
#pragma once

#include "hwy/aligned_allocator.h"

namespace smartbird::kernels {

template <class T>
class AlignedBuffer {
 public:
  // At least n elements, undefined.
  T* reserve(size_t n) {
    if (n > size_) data_ = hwy::AllocateAligned<T>(size_ = n + n / 2);
    return data_.get();
  }
  [[nodiscard]] T* data() const { return data_.get(); }

 private:
  size_t size_ = 0;
  hwy::AlignedFreeUniquePtr<T[]> data_;
};

}  // namespace smartbird::kernels
