// Law: the collectives on tensors are what they say, and their gradients are their adjoints: <Ax, y> = <x, Aᵀy> exactly,
// summed over ranks, for whole numbers, uneven and zero counts and inputs that are not contiguous.
#include "ops/collectives.h"

#include "comm/thread_comm.h"
#include "ops/exchange.h"
#include "tests/support/gradients.h"

namespace smartbird::testing {
namespace {

// Rows that rank `from` sends to rank `to`: 0 for one pair in three, and a rank that neither sends nor receives.
std::vector<std::vector<int64_t>> random_counts(std::mt19937& random, int ranks) {
  std::vector<std::vector<int64_t>> counts(static_cast<size_t>(ranks));
  for (int from = 0; from < ranks; ++from)
    for (int to = 0; to < ranks; ++to) {
      const int64_t n = static_cast<int64_t>(random() % 6);
      const bool idle = ranks > 2 && (from == 1 || to == 1);
      counts[static_cast<size_t>(from)].push_back(idle || n < 2 ? 0 : n);
    }
  return counts;
}

std::vector<int64_t> column(const std::vector<std::vector<int64_t>>& counts, int to) {
  std::vector<int64_t> out;
  for (const auto& row : counts) out.push_back(row[static_cast<size_t>(to)]);
  return out;
}

int64_t sum(const std::vector<int64_t>& counts) {
  int64_t out = 0;
  for (int64_t n : counts) out += n;
  return out;
}

// x of shape [rows, 2, 3] whose memory is laid out otherwise.
at::Tensor twisted_rows(std::mt19937& random, int64_t rows) {
  return integer_tensor(random, {3, 2, rows}).permute({2, 1, 0}).detach().requires_grad_(true);
}

// The sums over ranks of <Ax, y> and <x, Aᵀy>, with y random.
void expect_adjoint(Communicator& group, std::mt19937& random, const at::Tensor& x, const at::Tensor& ax,
                    const char* what) {
  const at::Tensor y = integer_tensor(random, ax.sizes());
  torch::autograd::backward({ax}, {y});
  ASSERT_TRUE(x.grad().defined()) << what;
  const double forward = group.reduce_value("test", (ax * y).sum().item<double>(), ReduceOp::Sum);
  const double backward = group.reduce_value("test", (x * x.grad()).sum().item<double>(), ReduceOp::Sum);
  EXPECT_EQ(forward, backward) << what << ", P = " << group.size();
}

class Collectives : public ::testing::TestWithParam<int> {};

TEST_P(Collectives, AllToAllRows) {
  const int ranks = GetParam();
  for (uint32_t seed : {1u, 2u, 3u}) {
    std::mt19937 shared(seed);
    const auto counts = random_counts(shared, ranks);
    run_thread_ranks(ranks, [&](Communicator& group) {
      std::mt19937 random(seed * 100 + static_cast<uint32_t>(group.rank()));
      const auto &send = counts[static_cast<size_t>(group.rank())], recv = column(counts, group.rank());
      const at::Tensor x = twisted_rows(random, sum(send)), ax = all_to_all_rows(group, "test", x, send, recv);
      ASSERT_EQ(ax.sizes(), at::IntArrayRef({sum(recv), 2, 3}));
      expect_adjoint(group, random, x, ax, "all_to_all_rows");
    });
  }
}

TEST_P(Collectives, AllToAllRowsBringsWhatWasSent) {
  const int ranks = GetParam();
  std::mt19937 shared(4);
  const auto counts = random_counts(shared, ranks);
  run_thread_ranks(ranks, [&](Communicator& group) {
    std::vector<double> sent, expected;  // sender · 10000 + receiver · 100 + number
    for (int other = 0; other < ranks; ++other) {
      for (int64_t i = 0; i < counts[static_cast<size_t>(group.rank())][static_cast<size_t>(other)]; ++i)
        sent.push_back(group.rank() * 10000.0 + other * 100.0 + static_cast<double>(i));
      for (int64_t i = 0; i < counts[static_cast<size_t>(other)][static_cast<size_t>(group.rank())]; ++i)
        expected.push_back(other * 10000.0 + group.rank() * 100.0 + static_cast<double>(i));
    }
    const at::Tensor x = at::tensor(at::ArrayRef<double>(sent), at::kDouble);
    const at::Tensor got =
        all_to_all_rows(group, "test", x, counts[static_cast<size_t>(group.rank())], column(counts, group.rank()));
    EXPECT_TRUE(at::equal(got, at::tensor(at::ArrayRef<double>(expected), at::kDouble))) << got;
  });
}

TEST_P(Collectives, AllGatherAndReduceScatterRows) {
  const int ranks = GetParam();
  for (uint32_t seed : {1u, 2u, 3u}) {
    std::mt19937 shared(seed);
    std::vector<int64_t> rows;
    for (int r = 0; r < ranks; ++r) rows.push_back(r == 1 ? 0 : static_cast<int64_t>(shared() % 5));
    run_thread_ranks(ranks, [&](Communicator& group) {
      std::mt19937 random(seed * 100 + static_cast<uint32_t>(group.rank()));
      const size_t me = static_cast<size_t>(group.rank());
      int64_t before = 0;
      for (size_t r = 0; r < me; ++r) before += rows[r];
      const at::Tensor mine = twisted_rows(random, rows[me]), all = all_gather_rows(group, "test", mine, rows);
      ASSERT_EQ(all.sizes(), at::IntArrayRef({sum(rows), 2, 3}));
      EXPECT_TRUE(at::equal(all.narrow(0, before, rows[me]), mine));
      at::Tensor total = at::zeros_like(all);  // the same on every rank: mine in its place, summed
      total.narrow(0, before, rows[me]).copy_(mine.detach());
      all_reduce_(group, "test", total, ReduceOp::Sum);
      EXPECT_TRUE(at::equal(all, total));
      expect_adjoint(group, random, mine, all, "all_gather_rows");

      const at::Tensor parts = twisted_rows(random, sum(rows)), piece = reduce_scatter_rows(group, "test", parts, rows);
      at::Tensor whole = parts.detach().contiguous();
      all_reduce_(group, "test", whole, ReduceOp::Sum);
      EXPECT_TRUE(at::equal(piece, whole.narrow(0, before, rows[me])));
      expect_adjoint(group, random, parts, piece, "reduce_scatter_rows");
    });
  }
}

// Rows asked for by several ranks, twice by one, or by nobody.
TEST_P(Collectives, FetchRows) {
  const int ranks = GetParam();
  const auto rows_of = [](int rank) { return rank % 4 == 2 ? int64_t{0} : int64_t{2} + rank % 3; };
  for (uint32_t seed : {1u, 2u, 3u})
    run_thread_ranks(ranks, [&](Communicator& group) {
      std::mt19937 random(seed * 100 + static_cast<uint32_t>(group.rank()));
      std::vector<std::vector<int64_t>> wanted(static_cast<size_t>(ranks));
      std::vector<double> expected;
      for (int owner = 0; owner < ranks; ++owner)
        for (uint32_t n = rows_of(owner) == 0 || owner == 1 ? 0 : random() % 5; n > 0; --n) {
          wanted[static_cast<size_t>(owner)].push_back(
              static_cast<int64_t>(random() % static_cast<uint32_t>(rows_of(owner))));
          expected.push_back(owner * 100.0 + static_cast<double>(wanted[static_cast<size_t>(owner)].back()));
        }
      const Requests requests = ask_for_rows(group, "test", wanted);
      EXPECT_EQ(requests.num_received(), static_cast<int64_t>(expected.size()));
      const int64_t mine = rows_of(group.rank());
      const at::Tensor names = group.rank() * 100.0 + at::arange(mine, at::kDouble);
      EXPECT_TRUE(at::equal(fetch_rows(group, "test", names, requests),
                            at::tensor(at::ArrayRef<double>(expected), at::kDouble)));
      const at::Tensor x = twisted_rows(random, mine);
      expect_adjoint(group, random, x, fetch_rows(group, "test", x, requests), "fetch_rows");
    });
}

// What every rank works out alone is what the ranks would have asked each other for.
TEST_P(Collectives, KnownRequestsAreWhatWouldBeAskedFor) {
  const int ranks = GetParam();
  for (const LayoutKind kind : {LayoutKind::Contiguous, LayoutKind::Zigzag}) {
    const Layout layout({{100, 0, 7}, {101, 7, 1}, {102, 8, 11}}, 2, ranks, kind);
    const auto needed = [&](int rank) {
      std::vector<int64_t> tokens;
      for (int64_t token = rank % 3; token < layout.num_tokens(); token += 2 + rank)
        if (layout.owner(token) != rank) tokens.push_back(token);
      return tokens;
    };
    run_thread_ranks(ranks, [&](Communicator& group) {
      const KnownRequests known = known_requests(layout, group.rank(), needed);
      std::vector<std::vector<int64_t>> wanted(static_cast<size_t>(ranks));
      for (int64_t token : needed(group.rank()))
        wanted[static_cast<size_t>(layout.owner(token))].push_back(layout.local_row(token));
      const Requests asked = ask_for_rows(group, "test", wanted);
      EXPECT_EQ(known.requests.send_rows, asked.send_rows);
      EXPECT_EQ(known.requests.recv_rows, asked.recv_rows);
      EXPECT_TRUE(at::equal(known.requests.send_index, asked.send_index));
      std::vector<double> tokens;
      for (int64_t token : layout.tokens_of(group.rank())) tokens.push_back(static_cast<double>(token));
      const at::Tensor got =
          fetch_rows(group, "test", at::tensor(at::ArrayRef<double>(tokens), at::kDouble), known.requests);
      const std::vector<double> arrived(known.tokens.begin(), known.tokens.end());
      EXPECT_TRUE(at::equal(got, at::tensor(at::ArrayRef<double>(arrived), at::kDouble)));
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, Collectives, ::testing::Values(1, 2, 3, 5, 8));

}  // namespace
}  // namespace smartbird::testing
