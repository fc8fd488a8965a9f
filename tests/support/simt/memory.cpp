// Allocations, and the rules of shared memory.
#include "tests/support/simt/memory.h"

namespace smartbird::simt {
namespace {

std::map<const std::byte*, size_t>& allocations() {
  static std::map<const std::byte*, size_t> all;
  return all;
}

SharedMemory* in_use = nullptr;
constexpr int64_t kStaticBytes = 48 << 10;

std::string place_in(const char* name, int64_t i) { return std::string(name) + "[" + std::to_string(i) + "]"; }
std::string who(int thread) { return "thread " + std::to_string(thread); }

}  // namespace

void register_memory(const void* begin, size_t bytes) { allocations()[static_cast<const std::byte*>(begin)] = bytes; }
void forget_memory(const void* begin) { allocations().erase(static_cast<const std::byte*>(begin)); }

Bounds bounds_of(const void* at) {
  if (at == nullptr) return {};
  const std::lock_guard guard(one_at_a_time());
  auto found = allocations().upper_bound(static_cast<const std::byte*>(at));
  if (found == allocations().begin() || at > (--found)->first + found->second)
    throw Fault("a pointer to memory that is not the device's");
  return {found->first, found->first + found->second};
}

SharedMemory::SharedMemory() { in_use = this; }
SharedMemory::~SharedMemory() { in_use = nullptr; }
SharedMemory& SharedMemory::current() { return *in_use; }

SharedMemory::Array& SharedMemory::array(const Site& site, const char* name, int64_t count, size_t element_bytes) {
  Array& out = arrays_[std::string(site.file_name()) + ":" + name + ":" + site.function_name()];
  if (out.shadows.empty()) {
    const int64_t bytes = count * static_cast<int64_t>(element_bytes);
    bytes_ += bytes;
    if (bytes_ > kStaticBytes)
      throw Fault(std::to_string(bytes_) + " bytes of static shared memory; a block has " +
                  std::to_string(kStaticBytes));
    out.bytes.resize(static_cast<size_t>(bytes) / sizeof(std::max_align_t) + 1);
    out.shadows.resize(static_cast<size_t>(count));
  }
  return out;
}

// A barrier of the block, or one of a warp if both are of it, lies between an access and now.
static bool ordered(int thread, uint32_t block_epoch, uint32_t warp_epoch) {
  const Block& block = Block::current();
  const int me = block.place().thread;
  if (thread == me || block_epoch != block.block_epoch()) return true;
  return thread / kLanes == me / kLanes && warp_epoch != block.warp_epoch(me);
}

void SharedMemory::note_read(Shadow& shadow, const char* name, int64_t i) const {
  const Block& block = Block::current();
  const int me = block.place().thread;
  if (shadow.in_flight) throw Fault("read of shared " + place_in(name, i) + " while a copy to it is on its way");
  if (shadow.writer < 0) throw Fault("read of shared " + place_in(name, i) + " by " + who(me) + ", which nobody wrote");
  if (!ordered(shadow.writer, shadow.write_epoch, shadow.write_warp_epoch))
    throw Fault("race: " + who(me) + " reads shared " + place_in(name, i) + " that " + who(shadow.writer) +
                " wrote, no barrier in between");
  const bool first = shadow.reader == -1 || shadow.read_epoch != block.block_epoch();
  shadow.reading_warp = first || shadow.reading_warp == me / kLanes ? me / kLanes : -2;
  shadow.reader = first || shadow.reader == me ? me : -2;
  shadow.read_epoch = block.block_epoch(), shadow.read_warp_epoch = block.warp_epoch(me);
}

void SharedMemory::note_write(Shadow& shadow, const char* name, int64_t i) const {
  const Block& block = Block::current();
  const int me = block.place().thread;
  if (shadow.in_flight) throw Fault("write of shared " + place_in(name, i) + " while a copy to it is on its way");
  if (shadow.writer >= 0 && !ordered(shadow.writer, shadow.write_epoch, shadow.write_warp_epoch))
    throw Fault("race: " + who(me) + " and " + who(shadow.writer) + " write shared " + place_in(name, i) +
                ", no barrier in between");
  const bool read_now = shadow.reader != -1 && shadow.read_epoch == block.block_epoch();
  const bool by_warp = shadow.reading_warp == me / kLanes && shadow.read_warp_epoch != block.warp_epoch(me);
  if (read_now && shadow.reader != me && !by_warp)
    throw Fault("race: " + who(me) + " writes shared " + place_in(name, i) +
                " that other threads read, no barrier in between");
  shadow.writer = me, shadow.write_epoch = block.block_epoch(), shadow.write_warp_epoch = block.warp_epoch(me);
}

void SharedMemory::start_copy(std::function<void()> finish) {
  copies_[Block::current().place().thread].open.push_back(std::move(finish));
}

void SharedMemory::commit() {
  Copies& mine = copies_[Block::current().place().thread];
  mine.groups.emplace_back().swap(mine.open);
}

void SharedMemory::wait(int groups) {
  auto& mine = copies_[Block::current().place().thread].groups;
  while (static_cast<int>(mine.size()) > groups) {
    for (const auto& finish : mine.front()) finish();
    mine.erase(mine.begin());
  }
}

void SharedMemory::check_all_awaited() const {
  for (const auto& [thread, copies] : copies_) {
    size_t open = copies.open.size();
    for (const auto& group : copies.groups) open += group.size();
    if (open > 0) throw Fault(who(thread) + " ended while copies to shared memory were on their way");
  }
}

}  // namespace smartbird::simt
