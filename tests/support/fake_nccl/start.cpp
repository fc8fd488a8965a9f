// The start of a communicator: every rank tells the one that made the id, which answers with the list of all.
#include <cstdio>
#include <cstring>

#include "core/error.h"
#include "tests/support/fake_nccl/state.h"

namespace smartbird::fake_nccl {

void progress_start(ncclComm_t comm);

namespace {

constexpr int kHelloTag = 1 << 20, kAnswerTag = kHelloTag + 1000, kFirstTag = kAnswerTag + 1000;

// In ncclUniqueId: who made it, and how many that rank had made before.
struct Id {
  int maker, number;
};

void listen(ncclComm_t comm) {
  MPI_Irecv(comm->heard.data(), 2, MPI_INT, MPI_ANY_SOURCE, comm->start_tag + kHelloTag, MPI_COMM_WORLD,
            &comm->starting);
}

void hear(ncclComm_t comm, int from) {
  const auto [rank, size] = comm->heard;
  if (size != comm->size || rank < 0 || rank >= comm->size || comm->gathered[static_cast<size_t>(rank)] >= 0)
    return fail(comm, ncclInvalidUsage,
                join("rank ", rank, " of ", size, " joins a communicator of ", comm->size,
                     " ranks that another one may have joined in its place"));
  comm->gathered[static_cast<size_t>(rank)] = from;
  if (++comm->come < comm->size) return listen(comm);
  for (int to : comm->gathered)
    if (to != comm->maker)
      MPI_Send(comm->gathered.data(), comm->size, MPI_INT, to, comm->start_tag + kAnswerTag, MPI_COMM_WORLD);
  comm->world = comm->gathered;
}

}  // namespace

void progress_start(ncclComm_t comm) {
  if (comm->starting == MPI_REQUEST_NULL) return;
  int there = 0;
  MPI_Status status{};
  MPI_Test(&comm->starting, &there, &status);
  if (!there) return;
  int me = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  if (me == comm->maker)
    hear(comm, status.MPI_SOURCE);
  else
    comm->world = comm->gathered;
  if (!comm->world.empty() && comm->error == ncclInProgress) comm->error = ncclSuccess;
}

}  // namespace smartbird::fake_nccl

using namespace smartbird::fake_nccl;
using Guard = std::lock_guard<Lock>;

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int made = 0;
  computes_here() = true;
  const Guard guard(lock());
  Id mine{};
  MPI_Comm_rank(MPI_COMM_WORLD, &mine.maker);
  mine.number = made++;
  std::memset(id, 0, sizeof *id);
  std::memcpy(id, &mine, sizeof mine);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  computes_here() = true;
  const Guard guard(lock());
  if (config == nullptr || config->blocking != 0) {
    std::fprintf(stderr, "stand-in NCCL: a communicator that blocks, so that a missing rank is waited for for ever\n");
    return ncclInvalidUsage;
  }
  Id made{};
  std::memcpy(&made, &id, sizeof made);
  int me = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  ncclComm_t c = new ncclComm;
  c->rank = rank, c->size = ranks, c->maker = made.maker, c->start_tag = made.number % 1000;
  c->tag = kFirstTag + made.maker * 1000 + made.number % 1000;
  c->incoming.resize(static_cast<size_t>(ranks));
  c->gathered.assign(static_cast<size_t>(ranks), -1);
  c->hello = {rank, ranks};
  communicators().insert(c);
  if (me == made.maker) {
    c->heard = c->hello;
    hear(c, me);
    if (!c->world.empty()) c->error = ncclSuccess;
  } else {
    MPI_Send(c->hello.data(), 2, MPI_INT, c->maker, c->start_tag + kHelloTag, MPI_COMM_WORLD);
    MPI_Irecv(c->gathered.data(), ranks, MPI_INT, c->maker, c->start_tag + kAnswerTag, MPI_COMM_WORLD, &c->starting);
  }
  *comm = c;
  return ncclInProgress;
}
