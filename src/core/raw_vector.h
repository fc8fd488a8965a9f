// A std::vector whose resize leaves new elements of plain types unset: for large arrays that are about to be overwritten,
// possibly by several threads.
#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace smartbird {

template <class T>
struct UnsetAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = UnsetAllocator<U>;
  };
  template <class U>
  void construct(U* at) {
    ::new (static_cast<void*>(at)) U;
  }
  template <class U, class... Args>
  void construct(U* at, Args&&... args) {
    ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
  }
};

template <class T>
using RawVector = std::vector<T, UnsetAllocator<T>>;

}  // namespace smartbird
