// Mailboxes shared by the threads of a group and of everything split from it.
#include "comm/thread_comm.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>

#include "core/error.h"

namespace smartbird {
namespace {

// Where a message lies: the group, the number of the collective in it, the sender and the receiver.
using Address = std::tuple<std::string, int64_t, int, int>;

struct Message {
  std::string what;
  std::vector<std::byte> bytes;
};

// What all ranks share. Ranks named here are those of the group made first.
class Hub {
 public:
  explicit Hub(double deadline_s) : deadline_(deadline_s) {}

  // All at once: who has heard from a rank knows that everybody can.
  void post(std::map<Address, Message> messages) {
    {
      const std::lock_guard lock(mutex_);
      mail_.merge(messages);
    }
    arrived_.notify_all();
  }

  Message collect(const Address& address, const std::string& what, int from) {
    std::unique_lock lock(mutex_);
    const auto has_come = [&] { return mail_.contains(address); };
    const bool in_time =
        arrived_.wait_for(lock, deadline_, [&] { return has_come() || cause_ || ended_.contains(from); });
    if (has_come()) return std::move(mail_.extract(address).mapped());
    if (cause_) fail(ErrorKind::Comm, what, ": peer rank ", failed_rank_, " failed");
    if (in_time) fail(ErrorKind::Comm, what, ": rank ", from, " ended without taking part");
    fail(ErrorKind::Comm, what, ": nothing from rank ", from, " for ", deadline_.count(), " s");
  }

  [[nodiscard]] bool holds(const Address& address) {
    const std::lock_guard lock(mutex_);
    return mail_.contains(address);
  }

  void end(int rank) {
    {
      const std::lock_guard lock(mutex_);
      ended_.insert(rank);
    }
    arrived_.notify_all();
  }

  void abort(int rank, std::exception_ptr cause) {
    {
      const std::lock_guard lock(mutex_);
      if (!cause_) cause_ = cause, failed_rank_ = rank;
    }
    arrived_.notify_all();
  }

  [[nodiscard]] std::exception_ptr cause() {
    const std::lock_guard lock(mutex_);
    return cause_;
  }

 private:
  std::chrono::duration<double> deadline_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::map<Address, Message> mail_;
  std::set<int> ended_;
  std::exception_ptr cause_;
  int failed_rank_ = -1;
};

class ThreadComm final : public Communicator {
 public:
  // members: the hub's number of each rank of this group.
  ThreadComm(std::shared_ptr<Hub> hub, std::string group, std::vector<int> members, int rank)
      : Communicator(rank, static_cast<int>(members.size())),
        hub_(std::move(hub)),
        group_(std::move(group)),
        members_(std::move(members)) {}

  void barrier() override {
    const std::vector<Piece> nothing(members_.size());
    start_exchange("barrier", DType::u8, nullptr, nothing, nullptr, nothing).wait();
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    const std::vector<Wish> wishes = gather_wishes({color, key, rank()});
    std::vector<Wish> same;
    std::copy_if(wishes.begin(), wishes.end(), std::back_inserter(same), [&](Wish w) { return w.color == color; });
    std::sort(same.begin(), same.end(),
              [](Wish a, Wish b) { return std::tie(a.key, a.rank) < std::tie(b.key, b.rank); });
    std::vector<int> members;
    int new_rank = 0;
    for (const Wish& wish : same) {
      if (wish.rank == rank()) new_rank = static_cast<int>(members.size());
      members.push_back(members_[static_cast<size_t>(wish.rank)]);
    }
    return std::make_unique<ThreadComm>(hub_, join(group_, "/", sequence_, ".", color), std::move(members), new_rank);
  }

 protected:
  Pending start_exchange(const char* what, DType /*type*/, const std::byte* send, std::span<const Piece> send_pieces,
                         std::byte* recv, std::span<const Piece> recv_pieces) override {
    const int64_t sequence = sequence_++;
    std::map<Address, Message> messages;
    for (int to = 0; to < size(); ++to) {
      const Piece piece = send_pieces[static_cast<size_t>(to)];
      Message message{what, {}};
      if (piece.bytes > 0) message.bytes.assign(send + piece.offset_bytes, send + piece.offset_bytes + piece.bytes);
      messages.emplace(Address{group_, sequence, rank(), to}, std::move(message));
    }
    hub_->post(std::move(messages));
    const auto flight = std::make_shared<Flight>(
        Flight{what, sequence, recv, std::vector<Piece>(recv_pieces.begin(), recv_pieces.end())});
    return Pending(
        [this, flight] {
          while (flight->next < size()) receive_next(*flight);
        },
        [this, flight] {
          for (; flight->next < size(); receive_next(*flight))
            if (!hub_->holds({group_, flight->sequence, flight->next, rank()})) return false;
          return true;
        });
  }

 private:
  struct Wish {
    int color, key, rank;
  };

  std::vector<Wish> gather_wishes(Wish mine) {
    constexpr int64_t kBytes = sizeof(Wish);
    std::vector<Wish> wishes(members_.size());
    const std::vector<Piece> send(members_.size(), {0, kBytes});
    std::vector<Piece> recv;
    for (int64_t r = 0; r < size(); ++r) recv.push_back({r * kBytes, kBytes});
    start_exchange("split", DType::i64, reinterpret_cast<const std::byte*>(&mine), send,
                   reinterpret_cast<std::byte*>(wishes.data()), recv)
        .wait();
    return wishes;
  }

  // The messages of one exchange: those of the first ranks have been received.
  struct Flight {
    std::string what;
    int64_t sequence = 0;
    std::byte* recv = nullptr;
    std::vector<Piece> pieces;
    int next = 0;
  };

  void receive_next(Flight& flight) {
    const int from = flight.next++;
    const Piece piece = flight.pieces[static_cast<size_t>(from)];
    const Message message =
        hub_->collect({group_, flight.sequence, from, rank()}, flight.what, members_[static_cast<size_t>(from)]);
    SB_CHECK(message.what == flight.what, Comm, "rank ", rank(), " calls '", flight.what, "' while rank ", from,
             " calls '", message.what, "'");
    SB_CHECK(static_cast<int64_t>(message.bytes.size()) == piece.bytes, Comm, flight.what, ": rank ", from, " sends ",
             message.bytes.size(), " bytes, rank ", rank(), " expects ", piece.bytes);
    if (piece.bytes > 0) std::memcpy(flight.recv + piece.offset_bytes, message.bytes.data(), message.bytes.size());
  }

  std::shared_ptr<Hub> hub_;
  std::string group_;
  std::vector<int> members_;
  int64_t sequence_ = 0;
};

std::vector<std::unique_ptr<Communicator>> group_on(const std::shared_ptr<Hub>& hub, int size) {
  SB_CHECK(size >= 1, Comm, "a group of threads needs at least one rank, not ", size);
  std::vector<int> members;
  for (int r = 0; r < size; ++r) members.push_back(r);
  std::vector<std::unique_ptr<Communicator>> group;
  for (int r = 0; r < size; ++r) group.push_back(std::make_unique<ThreadComm>(hub, "all", members, r));
  return group;
}

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_thread_group(int size, double deadline_s) {
  return group_on(std::make_shared<Hub>(deadline_s), size);
}

void run_thread_ranks(int size, const std::function<void(Communicator&)>& body) {
  const auto hub = std::make_shared<Hub>(kThreadDeadlineS);
  const std::vector<std::unique_ptr<Communicator>> group = group_on(hub, size);
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&hub, &body, &comm = *group[static_cast<size_t>(r)], r] {
      try {
        body(comm);
        hub->end(r);
      } catch (...) {
        hub->abort(r, std::current_exception());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (const std::exception_ptr cause = hub->cause()) std::rethrow_exception(cause);
}

}  // namespace smartbird
