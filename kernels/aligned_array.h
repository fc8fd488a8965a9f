// Arrays whose start is aligned for every vector load. Where memory is missing they do what `new` does: the new-handler
// of the program is called, and without one std::bad_alloc is thrown.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace smartbird::kernels {

inline constexpr std::align_val_t kAlignment{128};  // two cache lines, which are fetched together

struct AlignedDelete {
  void operator()(void* data) const { ::operator delete(data, kAlignment); }
};

template <class T>
using AlignedArray = std::unique_ptr<T[], AlignedDelete>;

// n elements of a plain type, undefined.
template <class T>
[[nodiscard]] AlignedArray<T> aligned_array(size_t n) {
  if (n > static_cast<size_t>(PTRDIFF_MAX) / sizeof(T)) throw std::bad_array_new_length();
  return AlignedArray<T>(static_cast<T*>(::operator new(n * sizeof(T), kAlignment)));
}

// Growing forgets what it held.
template <class T>
class AlignedBuffer {
 public:
  // At least n elements, undefined.
  T* reserve(size_t n) {
    if (n > size_) {
      size_ = 0;  // nothing is held while there is no new array
      data_.reset();
      data_ = aligned_array<T>(n + n / 2);
      size_ = n + n / 2;
    }
    return data_.get();
  }
  [[nodiscard]] T* data() const { return data_.get(); }

 private:
  size_t size_ = 0;
  AlignedArray<T> data_;
};

}  // namespace smartbird::kernels
