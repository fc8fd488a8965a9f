// Law: after whiten_label_head the pooled rows it read have mean 0 and, raised by the floor, covariance 1, for any number of ranks.
#include "train/whiten.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "model/shape.h"
#include "tests/support/memory_corpus.h"
#include "tests/support/ranks.h"
#include "train/micro_steps.h"

namespace smartbird::testing {
namespace {

struct Whitened {
  at::Tensor mean, whitening;  // [C], [C, C]
  at::Tensor rows;             // [samples, C] pooled rows of one rank alone, less the mean
};

Options small_options(const std::string& batch_tokens) {
  return parse_options({"--data.task=classify", "--model.width=8", "--model.heads=2", "--model.layers=1",
                        "--sketch.width=4", "--attention.picks=4", "--attention.window=2", "--data.sequence_tokens=40",
                        "--train.batch_tokens=" + batch_tokens},
                       nullptr)
      .options;
}

MemoryCorpus labelled_corpus() {
  std::vector<Document> documents;
  for (int64_t i = 0; i < 60; ++i)
    documents.push_back({.num_tokens = 5 + i % 31, .label = static_cast<int32_t>(i % 3)});
  return MemoryCorpus(documents);
}

Whitened whiten(int ranks, int64_t sequences = 60, const std::string& batch_tokens = "200") {
  Whitened out;
  const Options options = small_options(batch_tokens);
  const MemoryCorpus corpus = labelled_corpus();
  for_ranks(ranks, [&](Communicator& group) {
    const at::NoGradGuard no_grad;
    const World world(group.split(0, group.rank()), 0);
    const Sampler sampler(corpus, {.seed = 1, .sequence_tokens = 40, .cut_documents = false});
    Transformer model(make_shape(options, corpus.tokenizer().vocabulary(), 3), at::kDouble, 1);
    const StepSetup setup{world, model, options, Task::Classify};
    EXPECT_TRUE(whiten_label_head(setup, corpus, sampler, sequences, [] { return false; }));
    if (!world.is_root()) return;
    out.mean = model.parameters().value("classifier.mean").clone();
    out.whitening = model.parameters().value("classifier.whitening").clone();
    if (ranks > 1) return;
    StageTimer timer;
    std::vector<at::Tensor> rows;
    for (int64_t next = 0; next < 60;) {
      const auto batch = sampler.batch(next, options.train.batch_tokens);
      next += static_cast<int64_t>(batch.size());
      for (const MicroStep& micro : micro_steps_of(setup, corpus, batch, 0, philox_key(0, 0, Purpose::Evaluate))) {
        const StepContext context{world, micro.layout, timer, 0, 0, Phase::Evaluate};
        const at::Tensor pooled =
            model.forward(context, micro.stream, {.task = Task::Classify, .probe_rate = -1}).pooled;
        rows.push_back(pooled - out.mean);
      }
    }
    out.rows = at::cat(rows);
  });
  return out;
}

TEST(Whiten, PooledRowsHaveMeanZeroAndCovarianceOneUpToTheFloor) {
  const Whitened w = whiten(1);
  ASSERT_EQ(w.rows.size(0), 60);
  EXPECT_LT(w.rows.mean(0).abs().max().item<double>(), 1e-6);
  const at::Tensor covariance = at::mm(w.rows.t(), w.rows) / 60;
  const double largest = at::linalg_eigvalsh(covariance).max().item<double>();
  const at::Tensor raised = covariance + kWhiteningFloor * largest * at::eye(8, at::kDouble);
  const at::Tensor whitened = at::mm(at::mm(w.whitening, raised), w.whitening.t());
  EXPECT_LT((whitened - at::eye(8, at::kDouble)).abs().max().item<double>(), 1e-8);
}

TEST(Whiten, AStopInBetweenSetsNothing) {
  const Options options = small_options("200");
  const MemoryCorpus corpus = labelled_corpus();
  for_ranks(2, [&](Communicator& group) {
    const World world(group.split(0, group.rank()), 0);
    const Sampler sampler(corpus, {.seed = 1, .sequence_tokens = 40, .cut_documents = false});
    Transformer model(make_shape(options, corpus.tokenizer().vocabulary(), 3), at::kDouble, 1);
    const at::Tensor before = model.parameters().flat().clone();
    int asked = 0;
    const StepSetup setup{world, model, options, Task::Classify};
    EXPECT_FALSE(whiten_label_head(setup, corpus, sampler, 60, [&] { return ++asked == 3; }));
    EXPECT_EQ(asked, 3);
    EXPECT_TRUE(at::equal(model.parameters().flat(), before));
  });
}

TEST(Whiten, RanksChangeNothing) {
  const Whitened alone = whiten(1);
  for (int ranks : {2, 3, 5}) {
    const Whitened many = whiten(ranks);
    EXPECT_LT((alone.mean - many.mean).abs().max().item<double>(), 1e-10) << ranks;
    EXPECT_LT((alone.whitening - many.whitening).abs().max().item<double>(),
              1e-9 * alone.whitening.abs().max().item<double>())
        << ranks;
  }
}

// Then rounding decides which vectors span the directions without variance.
TEST(Whiten, RanksChangeNothingWhereSequencesAreFewerThanColumns) {
  const Whitened alone = whiten(1, 4, "40");
  for (int ranks : {2, 3, 5})
    EXPECT_LT((alone.whitening - whiten(ranks, 4, "40").whitening).abs().max().item<double>(),
              1e-9 * alone.whitening.abs().max().item<double>())
        << ranks;
}

}  // namespace
}  // namespace smartbird::testing
