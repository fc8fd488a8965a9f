// Law: the bytes that a rank counts are those that MPI sends, operation by operation, and within 1 % those of the formulas
// of `smartbird plan`. MPI's own profiling interface counts what MPI_Isend sends; blocking sends and the collectives that a
// back end might use instead are wrapped too and must stay unused. Real training steps on the ranks that mpirun started, for
// every exchange plan and layout.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>

#include "comm/mpi_comm.h"
#include "comm/session.h"
#include "config/parse.h"
#include "core/error.h"
#include "ops/plan_parts.h"
#include "tools/plan_network.h"
#include "train/setup.h"
#include "train/step.h"

namespace {

std::map<std::string, int64_t> sent_by_mpi;  // bytes of point-to-point messages
std::string operation = "outside";           // what is sending
int other_sends = 0;

}  // namespace

extern "C" {
int MPI_Isend(const void* buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request) {
  int bytes = 0;
  PMPI_Type_size(type, &bytes);
  sent_by_mpi[operation] += int64_t{count} * bytes;
  return PMPI_Isend(buffer, count, type, to, tag, comm, request);
}
int MPI_Send(const void* buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  ++other_sends;
  return PMPI_Send(buffer, count, type, to, tag, comm);
}
int MPI_Allreduce(const void* send, void* recv, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
  ++other_sends;
  return PMPI_Allreduce(send, recv, count, type, op, comm);
}
int MPI_Allgatherv(const void* send, int count, MPI_Datatype from, void* recv, const int* counts, const int* at,
                   MPI_Datatype to, MPI_Comm comm) {
  ++other_sends;
  return PMPI_Allgatherv(send, count, from, recv, counts, at, to, comm);
}
int MPI_Alltoallv(const void* send, const int* send_counts, const int* send_at, MPI_Datatype from, void* recv,
                  const int* recv_counts, const int* recv_at, MPI_Datatype to, MPI_Comm comm) {
  ++other_sends;
  return PMPI_Alltoallv(send, send_counts, send_at, from, recv, recv_counts, recv_at, to, comm);
}
int MPI_Bcast(void* buffer, int count, MPI_Datatype type, int root, MPI_Comm comm) {
  ++other_sends;
  return PMPI_Bcast(buffer, count, type, root, comm);
}
}

namespace smartbird::testing {
namespace {

// Says which operation sends, and leaves the sending to another group.
class NamedComm final : public Communicator {
 public:
  explicit NamedComm(std::unique_ptr<Communicator> inner)
      : Communicator(inner->rank(), inner->size()), inner_(std::move(inner)) {}
  void barrier() override { inner_->barrier(); }
  std::unique_ptr<Communicator> split(int color, int key) override {
    return std::make_unique<NamedComm>(inner_->split(color, key));
  }

 protected:
  Pending start_exchange(const char* what, DType type, const std::byte* send, std::span<const Piece> send_pieces,
                         std::byte* recv, std::span<const Piece> recv_pieces) override {
    operation = what;
    Pending pending = exchange_on(*inner_, what, type, send, send_pieces, recv, recv_pieces);
    operation = "outside";
    return pending;
  }

 private:
  std::unique_ptr<Communicator> inner_;
};

// Counted while the step is recorded, or told apart from the work of a step nowhere else.
bool is_statistics(const std::string& what) {
  return what == "statistics" || what == "counts" || what == "exchange_cost" || what == "link";
}

// (row, kv head) pairs of halos and global keys, over all ranks, streams and kinds of layers.
double halo_units(const PlanCase& plan) {
  AttentionSettings settings = plan.shape.attention;
  double tokens = 0;
  for (const Pattern pattern : std::set<Pattern>(plan.shape.pattern.begin(), plan.shape.pattern.end())) {
    settings.pattern = pattern;
    for (const auto& stream : plan.streams) {
      const Layout layout = plan.layout_of(stream);
      for (int rank = 0; rank < layout.num_ranks(); ++rank)
        tokens +=
            static_cast<double>(band_halo(layout, settings, rank).size() + global_halo(layout, settings, rank).size());
    }
  }
  return tokens * static_cast<double>(plan.shape.kv_heads);
}

// Picks of a fixed number, every block a probe: nothing is left to chance but which rows are picked.
std::vector<std::string> arguments_of(const std::string& plan, const std::vector<std::string>& more) {
  std::vector<std::string> out{
      std::string("--data.train=") + SMARTBIRD_SOURCE_DIR + "/tests/data/books/train/eliot",
      "--data.sequence_tokens=200", "--train.batch_tokens=400", "--train.micro_tokens=200", "--model.layers=3",
      "--model.width=32", "--model.heads=8", "--model.head_width=4", "--attention.draw=topk", "--attention.picks=6",
      "--attention.window=5", "--attention.query_block=2", "--attention.share=8", "--attention.global_positions=0,7",
      "--sketch.probes=200", "--run.dtype=float64", "--exchange.link=1ms,1MB/s", "--exchange.plan=" + plan,
      // Dense layers may take another plan than sparse ones, and formulas are of one.
      std::string("--attention.pattern=") + (plan == "auto" ? "sparse" : "sparse,window,dense")};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

void expect_bytes(const World& world, const std::string& exchange, const std::vector<std::string>& more) {
  const Options o = parse_options(arguments_of(exchange, more), nullptr).options;
  const Corpora data = open_corpora(o, {});
  Transformer model(make_shape(o, data.train->tokenizer().vocabulary(), 0), at::kDouble, 1);
  const Sampler sampler(*data.train,
                        {.seed = 1, .sequence_tokens = o.data.sequence_tokens, .cut_documents = true, .fixed = false});
  const std::vector<Sample> batch = sampler.batch(0, o.train.batch_tokens);
  Optimizer optimizer(world, model.parameters(), o.train);
  sent_by_mpi.clear();
  const StepRecord record =
      train_step({world, model, o, Task::Clm, link_of(world, o, at::kCPU)}, optimizer, *data.train, batch, 1);
  Communicator& all = world.everyone();
  std::map<std::string, double> by_mpi, formulas;
  for (const auto& [what, bytes] : record.sent_bytes) {
    by_mpi[what] = static_cast<double>(all.reduce_value("test", sent_by_mpi[what], ReduceOp::Sum));
    if (!is_statistics(what)) {
      EXPECT_EQ(static_cast<double>(bytes), by_mpi[what]) << what << ", plan " << exchange;
    }
  }
  for (const auto& [what, bytes] : sent_by_mpi)
    EXPECT_TRUE(record.sent_bytes.contains(what) || is_statistics(what) || what == "test") << what << " is not counted";
  EXPECT_EQ(sent_by_mpi["outside"], 0);
  EXPECT_EQ(other_sends, 0);

  if (record.plan.find('+') != std::string::npos) return;  // auto took several; formulas are of one
  PlanCase plan = make_plan_case(o, all.size(), data.train.get());
  plan.probes = static_cast<double>((plan.step_tokens() + plan.query_block - 1) / plan.query_block);
  plan.shape.attention.exchange = record.plan == "all"     ? ExchangePlan::All
                                  : record.plan == "heads" ? ExchangePlan::Heads
                                                           : ExchangePlan::Rows;
  double remote = 0;
  for (const auto& stream : plan.streams)
    remote +=
        static_cast<double>(plan.layout_of(stream).num_tokens() * (plan.sequence_ranks - 1) * plan.shape.kv_heads);
  if (record.plan == "rows" && remote > 0) plan.phi = (static_cast<double>(record.rows) - halo_units(plan)) / remote;
  for (const auto& [what, of] : predict_traffic(plan)) formulas[what] = of.bytes;
  for (const auto& [what, bytes] : record.sent_bytes) {
    if (is_statistics(what) || bytes == 0 || (exchange == "auto" && what == "row_counts")) continue;
    EXPECT_NEAR(formulas[what], static_cast<double>(bytes), 0.01 * static_cast<double>(bytes))
        << what << ", plan " << exchange << ", " << all.size() << " ranks";
  }
  for (const auto& [what, bytes] : formulas)
    EXPECT_GT(record.sent_bytes.at(what), 0) << what << " is predicted, not sent";
}

std::unique_ptr<Communicator> everyone;

TEST(MpiBytes, AreThoseCountedAndThoseOfTheFormulas) {
  for (const int width : {0, 2}) {
    if (width > 0 && (everyone->size() % width != 0 || everyone->size() == width)) continue;
    const World world(everyone->split(0, everyone->rank()), width);
    const std::string ranks = "--parallel.sequence_ranks=" + std::to_string(width);
    for (const std::string layout : {"contiguous", "zigzag"})
      for (const std::string exchange : {"rows", "all", "heads", "auto"}) {
        if (exchange == "heads" && 8 % world.sequence().size() != 0) continue;
        expect_bytes(world, exchange, {"--parallel.layout=" + layout, ranks});
        expect_bytes(world, exchange,
                     {"--parallel.layout=" + layout, ranks, "--memory.recompute=layer", "--memory.rows=fetch_again",
                      "--memory.kv_dtype=bfloat16"});
      }
  }
}

}  // namespace
}  // namespace smartbird::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  GTEST_FLAG_SET(catch_exceptions, false);
  const smartbird::Session session(&argc, &argv);
  try {
    smartbird::testing::everyone = std::make_unique<smartbird::testing::NamedComm>(session.everyone());
    if (session.rank() != 0)
      delete ::testing::UnitTest::GetInstance()->listeners().Release(
          ::testing::UnitTest::GetInstance()->listeners().default_result_printer());
    const int failed = RUN_ALL_TESTS();
    const int any = smartbird::testing::everyone->reduce_value("failed", int32_t{failed}, smartbird::ReduceOp::Max);
    smartbird::testing::everyone.reset();
    return any;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", session.rank(), error.what());
    session.abort(1);
  }
}
