// Fibers, and who may go on.
#include "tests/support/simt/engine.h"

#include <algorithm>

namespace smartbird::simt {
namespace {

constexpr size_t kStackBytes = 256 << 10;
Block* running = nullptr;

bool same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

}  // namespace

std::string text_of(const Site& site) {
  const std::string file = site.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(site.line());
}

Block& Block::current() {
  if (running == nullptr) throw Fault("device code was called outside a kernel");
  return *running;
}

Block::Block(int64_t index, int64_t blocks, int threads)
    : index_(index),
      blocks_(blocks),
      threads_(static_cast<size_t>(threads)),
      warps_(static_cast<size_t>((threads + kLanes - 1) / kLanes)) {
  if (threads < 1 || threads > 1024) throw Fault("a block of " + std::to_string(threads) + " threads; 1 to 1,024 fit");
  running = this;
}

Block::~Block() { running = nullptr; }

void Block::enter() {
  Block& block = current();
  try {
    (*block.kernel_)();
  } catch (...) {
    block.error_ = std::current_exception();
  }
  block.threads_[static_cast<size_t>(block.current_)].state = State::Done;
}

void Block::resume(int thread) {
  current_ = thread;
  Fiber& fiber = threads_[static_cast<size_t>(thread)];
  swapcontext(&scheduler_, &fiber.context);
  if (error_) std::rethrow_exception(error_);
}

void Block::give_way(State state, const Site& site) {
  Fiber& fiber = threads_[static_cast<size_t>(current_)];
  fiber.state = state, fiber.site = site;
  swapcontext(&fiber.context, &scheduler_);
}

void Block::run(const std::function<void()>& kernel) {
  kernel_ = &kernel;
  for (Fiber& fiber : threads_) {
    fiber.stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get(), fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = &scheduler_;
    makecontext(&fiber.context, &Block::enter, 0);
  }
  for (;;) {
    for (size_t i = 0; i < threads_.size(); ++i)
      if (threads_[i].state == State::Ready) resume(static_cast<int>(i));
    if (std::all_of(threads_.begin(), threads_.end(), [](const Fiber& f) { return f.state == State::Done; })) return;
    const bool warps = release_warps();
    if (!release_block() && !warps) report_deadlock();
  }
}

void Block::meet(bool orders, const Site& site) {
  threads_[static_cast<size_t>(current_)].orders = orders;
  give_way(State::AtWarp, site);
}

void Block::sync_warp(const Site& site) { meet(true, site); }
void Block::sync_block(const Site& site) { give_way(State::AtBlock, site); }

// All threads of the block at one barrier.
bool Block::release_block() {
  for (const Fiber& fiber : threads_) {
    if (fiber.state != State::AtBlock) return false;
    if (!same(fiber.site, threads_[0].site))
      throw Fault("divergent barrier: threads 0 and " + std::to_string(&fiber - threads_.data()) + " wait at " +
                  text_of(threads_[0].site) + " and " + text_of(fiber.site));
  }
  for (Fiber& fiber : threads_) fiber.state = State::Ready;
  ++block_epoch_;
  return true;
}

// Every warp whose lanes all stand at one place.
bool Block::release_warps() {
  bool released = false;
  for (size_t w = 0; w < warps_.size(); ++w) {
    const size_t begin = w * kLanes, count = std::min<size_t>(kLanes, threads_.size() - begin);
    Fiber* const lanes = &threads_[begin];
    if (!std::all_of(lanes, lanes + count,
                     [&](const Fiber& lane) { return lane.state == State::AtWarp && same(lane.site, lanes->site); }))
      continue;
    if (count < kLanes)
      throw Fault(text_of(lanes->site) + ": a warp meets that has " + std::to_string(count) + " lanes");
    warps_[w].got = warps_[w].given;
    for (size_t lane = 0; lane < count; ++lane) lanes[lane].state = State::Ready;
    warps_[w].epoch += lanes->orders ? 1 : 0;
    released = true;
  }
  return released;
}

void Block::report_deadlock() const {
  std::string text, last;
  for (const Fiber& fiber : threads_) {
    const std::string at = fiber.state == State::Done
                               ? "ended"
                               : (fiber.state == State::AtBlock ? "block at " : "warp at ") + text_of(fiber.site);
    if (at != last) text += " from thread " + std::to_string(&fiber - threads_.data()) + " on " + at + ";";
    last = at;
  }
  throw Fault("divergent barrier: threads wait for each other:" + text);
}

}  // namespace smartbird::simt
