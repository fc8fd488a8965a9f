// Laws of attention.pattern = auto: short sequences are dense and long ones sparse, whatever the ranks and however the first
// batch was cut; all ranks choose alike; weights are left as they were; a stop ends it.
#include "train/choose_pattern.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "model/shape.h"
#include "tests/support/memory_corpus.h"
#include "tests/support/ranks.h"

namespace smartbird::testing {
namespace {

struct Chosen {
  std::vector<std::optional<PatternChoice>> by_rank;
  bool weights_kept = true, gradients_zero = true;
};

const std::vector<std::string> kFew{"--attention.picks=4", "--sketch.width=8"},
    kAll{"--attention.picks=48", "--sketch.width=32", "--sketch.probes=512"};

// documents: their lengths; tokens: of a sequence and of a batch.
Chosen choose_of(
    const std::vector<int64_t>& documents, int64_t tokens, int64_t batch_tokens, int ranks,
    const std::vector<std::string>& more, const std::function<bool()>& stop = [] { return false; }) {
  std::vector<std::string> arguments{"--model.width=32",
                                     "--model.heads=2",
                                     "--model.layers=2",
                                     "--attention.window=4",
                                     "--train.batch_tokens=" + std::to_string(batch_tokens),
                                     "--data.sequence_tokens=" + std::to_string(tokens)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Options o = parse_options(arguments, nullptr).options;
  const MemoryCorpus corpus(MemoryCorpus::of_lengths(documents));
  Chosen out;
  out.by_rank.resize(static_cast<size_t>(ranks));
  for_ranks(ranks, [&](Communicator& group) {
    const World world(group.split(0, group.rank()), static_cast<int>(o.parallel.sequence_ranks));
    // A sampler remembers epochs: one for each rank, which are threads here.
    const Sampler sampler(
        corpus,
        {.seed = static_cast<uint64_t>(o.run.seed), .sequence_tokens = tokens, .cut_documents = true, .fixed = false});
    Transformer model(make_shape(o, corpus.tokenizer().vocabulary(), 0), at::kFloat, 1);
    const at::Tensor before = model.parameters().flat().clone();
    const auto mine = static_cast<size_t>(group.rank());
    out.by_rank[mine] = choose_pattern({world, model, o, task_from_name(o.data.task)}, corpus, sampler, stop);
    if (mine > 0) return;
    out.weights_kept = at::equal(model.parameters().flat(), before);
    out.gradients_zero = at::count_nonzero(model.parameters().flat_grad()).item<int64_t>() == 0;
  });
  return out;
}

Chosen choose(int64_t tokens, int ranks, const std::vector<std::string>& more, int64_t documents = 1) {
  return choose_of(std::vector<int64_t>(static_cast<size_t>(documents), tokens), tokens, tokens * documents, ranks,
                   more);
}

void expect_chosen(const Chosen& chosen, bool dense, int64_t least_tokens, int64_t most_tokens,
                   const std::string& what) {
  EXPECT_TRUE(chosen.weights_kept && chosen.gradients_zero) << what;
  for (const auto& choice : chosen.by_rank) {
    ASSERT_TRUE(choice) << what;
    const PatternChoice& c = *choice;
    const std::string text = what + ": " + to_text(c);
    EXPECT_EQ(c.dense, dense) << text;
    EXPECT_GT(std::min(c.dense_ms, c.sparse_ms), 0) << text;
    EXPECT_TRUE(c.tokens >= least_tokens && c.tokens <= most_tokens) << text;
    EXPECT_EQ(to_text(c), to_text(*chosen.by_rank[0])) << what;
  }
}

// 48 tokens are a few blocks of dense work; sampled, they are scanned and drawn from as well. Of 16,384 tokens dense attention
// touches 8,192 keys a row, sampled attention 8: a trial at a quarter of it has to be enough.
TEST(ChoosePattern, ShortIsDenseAndLongIsSparse) {
  for (int ranks : {1, 2, 3}) {
    const std::string on = " on " + std::to_string(ranks) + " ranks";
    expect_chosen(choose(48, ranks, kAll), true, 48, 48, "48 tokens" + on);
    expect_chosen(choose(16384, ranks, kFew), false, 1024, 4096 * ranks, "16,384 tokens" + on);
  }
}

std::vector<std::string> with(std::vector<std::string> more) {
  more.insert(more.end(), kFew.begin(), kFew.end());
  return more;
}

TEST(ChoosePattern, OfEveryTaskAndOfReplicas) {
  for (const char* task : {"clm", "mlm"})
    expect_chosen(choose(8192, 2, with({std::string("--data.task=") + task, "--parallel.sequence_ranks=1"}), 2), false,
                  1024, 4096, task);
  expect_chosen(choose(8192, 1, with({"--memory.recompute=layer", "--train.micro_tokens=8192"}), 3), false, 1024, 4096,
                "micro-steps");
  expect_chosen(choose(8192, 1, with({"--sketch.probes=0"})), false, 1024, 4096, "no probes");
}

// A document of 8,199 tokens is cut into one of 8,192 and one of 7, of which some seeds begin with the latter.
TEST(ChoosePattern, IsOfUsualBatchesNotOfTheFirst) {
  for (const char* seed : {"1", "2", "3", "4"})
    expect_chosen(choose_of({8199, 8192}, 8192, 8192, 1, with({std::string("--run.seed=") + seed})), false, 1024, 4096,
                  std::string("seed ") + seed);
  // A first micro-step of a short document alone.
  expect_chosen(choose_of({40, 8192}, 8192, 8232, 1, with({"--train.micro_tokens=1000"})), false, 1024, 4096,
                "two streams");
}

TEST(ChoosePattern, IsStopped) {
  for (int passes : {0, 1, 4}) {
    int left = passes;
    const Chosen chosen = choose_of({4096}, 4096, 4096, 1, kFew, [&] { return left-- == 0; });
    EXPECT_FALSE(chosen.by_rank[0]) << passes;
    EXPECT_EQ(left, -1) << "asked once too often";
    EXPECT_TRUE(chosen.weights_kept && chosen.gradients_zero) << passes;
  }
}

}  // namespace
}  // namespace smartbird::testing
