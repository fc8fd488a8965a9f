// Memory of the emulated device. Global memory is what a test registered: every access is checked against the allocation the
// pointer came from. Shared memory knows who touched each element since when: a read of what nobody wrote, two threads on one
// element without a barrier between them, and a read of a copy that was not awaited are Faults.
#pragma once

#include <map>
#include <mutex>

#include "tests/support/simt/engine.h"

namespace smartbird::simt {

// The first and last byte + 1 of the allocation that holds `at`; both null for a null pointer, Fault for foreign memory.
struct Bounds {
  const std::byte *begin = nullptr, *end = nullptr;
};
[[nodiscard]] Bounds bounds_of(const void* at);
// Held by kernels, and by whoever registers memory beside them.
inline std::recursive_mutex& one_at_a_time() {
  static std::recursive_mutex mutex;
  return mutex;
}
void register_memory(const void* begin, size_t bytes);
void forget_memory(const void* begin);

// A pointer to device memory inside a kernel.
template <class T>
class Global {
 public:
  Global(T* at) : at_(at), bounds_(bounds_of(at)) {}  // NOLINT: kernels take pointers
  T& operator[](int64_t i) const { return *checked(i, 1); }
  // The place of `count` elements from i on.
  T* checked(int64_t i, int64_t count) const {
    const auto* first = reinterpret_cast<const std::byte*>(at_) + i * static_cast<int64_t>(sizeof(T));
    const auto* last = first + count * static_cast<int64_t>(sizeof(T));
    if (at_ == nullptr || first < bounds_.begin || last > bounds_.end)
      throw Fault(
          "element " + std::to_string(i) + " of device memory that has " +
          std::to_string((bounds_.end - reinterpret_cast<const std::byte*>(at_)) / static_cast<int64_t>(sizeof(T))) +
          " from there on, thread " + std::to_string(Block::current().place().thread));
    return at_ + i;
  }

 private:
  T* at_;
  Bounds bounds_;
};

// Who touched an element of shared memory.
struct Shadow {
  int writer = -1;  // nobody
  uint32_t write_epoch = 0, write_warp_epoch = 0;
  int reader = -1, reading_warp = -1;  // -2: several
  uint32_t read_epoch = 0, read_warp_epoch = 0;
  bool in_flight = false;  // a copy was started and not awaited
};

// Shared arrays of a block and copies into them.
class SharedMemory {
 public:
  struct Array {
    std::vector<std::max_align_t> bytes;
    std::vector<Shadow> shadows;
  };
  // The array declared at a place, the same for all threads of the block.
  Array& array(const Site& site, const char* name, int64_t count, size_t element_bytes);
  void note_read(Shadow& shadow, const char* name, int64_t i) const;
  void note_write(Shadow& shadow, const char* name, int64_t i) const;
  // Copies of the thread that runs: started ones form a group at commit; wait(n) ends all groups but the last n.
  void start_copy(std::function<void()> finish);
  void commit();
  void wait(int groups);
  void check_all_awaited() const;
  [[nodiscard]] static SharedMemory& current();
  SharedMemory();
  ~SharedMemory();

 private:
  struct Copies {
    std::vector<std::function<void()>> open;
    std::vector<std::vector<std::function<void()>>> groups;
  };
  std::map<std::string, Array> arrays_;
  std::map<int, Copies> copies_;
  int64_t bytes_ = 0;
};

template <class T>
class Shared {
 public:
  struct Element {
    const Shared& of_;
    int64_t i_;
    operator T() const {  // NOLINT: reads like an array
      SharedMemory::current().note_read(of_.shadow(i_), of_.name_, i_);
      return of_.data_[i_];
    }
    Element& operator=(T value) {
      SharedMemory::current().note_write(of_.shadow(i_), of_.name_, i_);
      of_.data_[i_] = value;
      return *this;
    }
  };
  Shared(const char* name, int64_t count, Site site = Site::current()) : name_(name), count_(count) {
    SharedMemory::Array& array = SharedMemory::current().array(site, name, count, sizeof(T));
    data_ = reinterpret_cast<T*>(array.bytes.data()), shadows_ = array.shadows.data();
  }
  Element operator[](int64_t i) const { return {*this, i}; }
  Shadow& shadow(int64_t i) const {
    if (i < 0 || i >= count_)
      throw Fault(std::string("element ") + std::to_string(i) + " of shared " + name_ + ", which has " +
                  std::to_string(count_));
    return shadows_[i];
  }
  [[nodiscard]] T* raw(int64_t i, int64_t count) const {
    shadow(i), shadow(i + count - 1);
    return data_ + i;
  }
  [[nodiscard]] const char* name() const { return name_; }

 private:
  const char* name_;
  int64_t count_;
  T* data_;
  Shadow* shadows_;
};

}  // namespace smartbird::simt
