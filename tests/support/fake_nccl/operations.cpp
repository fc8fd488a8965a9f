// Operations as messages between ranks, and what is checked when they end.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <type_traits>

#include "core/error.h"
#include "tests/support/fake_nccl/state.h"

namespace smartbird::fake_nccl {
namespace {

constexpr int64_t kChunkBytes = int64_t{1} << 30;
constexpr int kHidden = 0xFF;

const char* name_of(Call call) {
  switch (call) {
    case Call::SendReceive: return "ncclSend or ncclRecv";
    case Call::AllGather: return "ncclAllGather";
    case Call::ReduceScatter: return "ncclReduceScatter";
    case Call::AllReduce: return "ncclAllReduce";
    case Call::Reduce: return "ncclReduce";
    case Call::Broadcast: return "ncclBroadcast";
  }
  return "?";
}

bool same(const Header& a, const Header& b) {
  return a.call == b.call && a.type == b.type && a.op == b.op && a.root == b.root && a.count == b.count;
}

// How many messages went to, or are expected from, a rank of the world on a stream so far.
int32_t next_number(std::map<std::pair<int, int>, int32_t>& of, int stream, int world) { return of[{stream, world}]++; }
std::map<std::pair<int, int>, int32_t> sent, expected;

int world_rank(ncclComm_t comm, int peer) { return comm->world[static_cast<size_t>(peer)]; }

template <class F>
void for_chunks(Message& message, F&& f) {
  for (int64_t at = 0; at < message.size; at += kChunkBytes) {
    message.requests.push_back(MPI_REQUEST_NULL);
    f(message.bytes + at, static_cast<int>(std::min(kChunkBytes, message.size - at)), &message.requests.back());
  }
}

bool all_there(Message& message) {
  int there = 0;
  MPI_Testall(static_cast<int>(message.requests.size()), message.requests.data(), &there, MPI_STATUSES_IGNORE);
  return there != 0;
}

void post(ncclComm_t comm, Message& message) {
  const int to = world_rank(comm, message.peer);
  message.requests.assign(1, MPI_REQUEST_NULL);
  MPI_Isend(&message.header, sizeof(Header), MPI_BYTE, to, comm->tag, MPI_COMM_WORLD, &message.requests.back());
  for_chunks(message, [&](std::byte* at, int bytes, MPI_Request* request) {
    MPI_Isend(at, bytes, MPI_BYTE, to, comm->tag, MPI_COMM_WORLD, request);
  });
}

// The header first; the bytes are asked for when it is the one expected.
void advance(ncclComm_t comm, Message& message) {
  const int from = world_rank(comm, message.peer);
  if (!message.posted) {
    message.requests.assign(1, MPI_REQUEST_NULL);
    MPI_Irecv(&message.got, sizeof(Header), MPI_BYTE, from, comm->tag, MPI_COMM_WORLD, &message.requests.back());
    message.posted = true;
  }
  if (!all_there(message)) return;
  if (!message.header_there) {
    message.header_there = true;
    if (!same(message.got, message.header))
      return fail(comm, ncclInvalidUsage,
                  join("rank ", comm->rank, " calls ", text_of(message.header), ", but rank ", message.peer, " calls ",
                       text_of(message.got)));
    if (message.got.stream == message.header.stream && message.got.number != message.header.number)
      return fail(comm, ncclInvalidUsage,
                  join("rank ", comm->rank, " calls ", text_of(message.header), " as number ", message.header.number,
                       " with rank ", message.peer, ", which calls it as number ", message.got.number,
                       ": operations of several communicators in another order"));
    for_chunks(message, [&](std::byte* at, int bytes, MPI_Request* request) {
      MPI_Irecv(at, bytes, MPI_BYTE, from, comm->tag, MPI_COMM_WORLD, request);
    });
    if (!all_there(message)) return;
  }
  message.done = true;
}

template <class T>
T combine(T a, T b, int op) {
  if (op == ncclSum) return static_cast<T>(a + b);
  if constexpr (std::is_floating_point_v<T>) return op == ncclMax ? std::fmax(a, b) : std::fmin(a, b);
  return op == ncclMax ? std::max(a, b) : std::min(a, b);
}

template <class T>
void fold_as(Operation& operation) {
  const int ranks = operation.comm->size, me = operation.comm->rank;
  T* out = reinterpret_cast<T*>(operation.recv);
  for (int64_t i = 0; i < operation.header.count; ++i) {
    for (int r = ranks - 1; r >= 0; --r) {
      const int64_t mine = operation.header.call == Call::ReduceScatter ? me * operation.header.count : 0;
      const T* part = r == me ? reinterpret_cast<const T*>(operation.sent.data()) + mine
                              : reinterpret_cast<const T*>(operation.got[static_cast<size_t>(r)].data());
      out[i] = r == ranks - 1 ? part[i] : combine(out[i], part[i], operation.header.op);
    }
  }
}

void fold(Operation& operation) {
  switch (static_cast<ncclDataType_t>(operation.header.type)) {
    case ncclUint8: return fold_as<uint8_t>(operation);
    case ncclInt32: return fold_as<int32_t>(operation);
    case ncclInt64: return fold_as<int64_t>(operation);
    case ncclFloat32: return fold_as<float>(operation);
    case ncclFloat64: return fold_as<double>(operation);
    default: return fail(operation.comm, ncclInvalidArgument, "a sum of a type that the stand-in does not know");
  }
}

bool overlap(const Operation& o) { return o.send < o.recv + o.recv_bytes && o.recv < o.send + o.send_bytes; }

// What was sent must not have changed, what is received must not have been touched; then the data appears.
void end(Operation& o) {
  o.done = true;
  if (!overlap(o) && o.send_bytes > 0 && std::memcmp(o.send, o.sent.data(), o.sent.size()) != 0)
    return fail(o.comm, ncclInvalidUsage,
                join("the send buffer of ", text_of(o.header), " changed while it was under way"));
  if (std::any_of(o.recv, o.recv + o.recv_bytes, [](std::byte b) { return b != std::byte{kHidden}; }))
    return fail(o.comm, ncclInvalidUsage,
                join("the receive buffer of ", text_of(o.header), " was written while it was under way"));
  const int me = o.comm->rank;
  const auto part = [&](int r) { return r == me ? o.sent.data() : o.got[static_cast<size_t>(r)].data(); };
  switch (o.header.call) {
    case Call::SendReceive:
      if (o.recv_bytes > 0) std::memcpy(o.recv, o.got[0].data(), o.got[0].size());
      return;
    case Call::AllGather:
      for (int r = 0; r < o.comm->size; ++r) {
        const int64_t bytes = o.send_bytes;
        std::memcpy(o.recv + r * bytes, part(r), static_cast<size_t>(bytes));
      }
      return;
    case Call::Broadcast: std::memcpy(o.recv, part(o.header.root), static_cast<size_t>(o.recv_bytes)); return;
    case Call::Reduce:
      if (o.header.root != me) return;
      [[fallthrough]];
    case Call::ReduceScatter:
    case Call::AllReduce: fold(o);
  }
}

void add(Operation& o, std::vector<std::shared_ptr<Message>>& to, int peer, std::byte* bytes, int64_t size) {
  to.push_back(std::make_shared<Message>(Message{.peer = peer, .header = o.header, .bytes = bytes, .size = size}));
}

void add_messages(Operation& o, int peer) {
  const bool mine = o.header.root == o.comm->rank, theirs = o.header.root == peer;
  const Call call = o.header.call;
  const bool sends = call == Call::Reduce ? theirs : call != Call::Broadcast || mine,
             receives = call == Call::Broadcast ? theirs : call != Call::Reduce || mine;
  const int64_t size = o.header.count * size_of(static_cast<ncclDataType_t>(o.header.type));
  if (sends) add(o, o.outgoing, peer, o.sent.data() + (call == Call::ReduceScatter ? peer * size : 0), size);
  if (!receives) return;
  o.got[static_cast<size_t>(peer)].resize(static_cast<size_t>(size));
  add(o, o.incoming, peer, o.got[static_cast<size_t>(peer)].data(), size);
}

}  // namespace

std::string text_of(const Header& header) {
  return join(name_of(header.call), " of ", header.count, " elements of type ", header.type, ", operation ", header.op,
              ", root ", header.root);
}

int64_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8: return 1;
    case ncclFloat16: return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32: return 4;
    default: return 8;
  }
}

void launch(Operation& o) {
  o.sent.assign(o.send, o.send + o.send_bytes);
  if (o.recv_bytes > 0) std::memset(o.recv, kHidden, static_cast<size_t>(o.recv_bytes));
  if (o.header.call == Call::SendReceive) {  // root is the peer; each side names the receiver
    const int peer = o.header.root;
    o.header.root = o.send_bytes > 0 ? peer : o.comm->rank;
    o.got.resize(1);
    if (o.send_bytes > 0) add(o, o.outgoing, peer, o.sent.data(), o.send_bytes);
    if (o.recv_bytes > 0) {
      o.got[0].resize(static_cast<size_t>(o.recv_bytes));
      add(o, o.incoming, peer, o.got[0].data(), o.recv_bytes);
    }
  } else {
    o.got.resize(static_cast<size_t>(o.comm->size));
    for (int peer = 0; peer < o.comm->size; ++peer)
      if (peer != o.comm->rank) add_messages(o, peer);
  }
  const int stream = number_of(o.stream);
  for (const auto& message : o.outgoing) {
    message->header.stream = stream;
    message->header.number = next_number(sent, stream, world_rank(o.comm, message->peer));
    post(o.comm, *message);
    o.comm->outgoing.push_back(message);
  }
  for (const auto& message : o.incoming) {
    message->header.stream = stream;
    message->header.number = next_number(expected, stream, world_rank(o.comm, message->peer));
    o.comm->incoming[static_cast<size_t>(message->peer)].push_back(message);
  }
}

void progress_operations(ncclComm_t comm) {
  for (auto& messages : comm->incoming) {
    while (!messages.empty() && comm->error == ncclSuccess) {
      advance(comm, *messages.front());
      if (!messages.front()->done) break;
      messages.pop_front();
    }
  }
  for (const auto& message : comm->outgoing) message->done = message->done || all_there(*message);
  std::erase_if(comm->outgoing, [](const auto& message) { return message->done; });
  const auto done = [](const auto& messages) {
    return std::all_of(messages.begin(), messages.end(), [](const auto& m) { return m->done; });
  };
  for (const auto& operation : comm->operations)
    operation->arrived = operation->arrived || (done(operation->incoming) && done(operation->outgoing));
}

void publish(const Operations& operations) {
  for (const auto& operation : operations) {
    if (operation->done || !operation->arrived || operation->comm->error != ncclSuccess) continue;
    std::erase(operation->comm->operations, operation);
    end(*operation);
  }
}

}  // namespace smartbird::fake_nccl
