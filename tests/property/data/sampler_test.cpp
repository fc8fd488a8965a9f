// Laws of the order of training: each token once an epoch, any number by itself, batches within their tokens.
#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "tests/support/memory_corpus.h"
#include "tests/support/temp_folder.h"

namespace smartbird {
namespace {

using testing::expect_error;
using testing::MemoryCorpus;

std::vector<Sample> epoch_of(const Sampler& sampler, int64_t epoch) {
  std::vector<Sample> out;
  for (int64_t number = sampler.epoch_begin(epoch); number < sampler.epoch_begin(epoch + 1); ++number)
    out.push_back(sampler.at(number));
  return out;
}

std::vector<int64_t> random_lengths(std::mt19937& random, size_t documents) {
  std::vector<int64_t> lengths(documents);
  for (int64_t& length : lengths) length = 1 + static_cast<int64_t>(random() % 90);
  return lengths;
}

std::tuple<int64_t, int64_t, int64_t, int64_t> fields(const Sample& s) {
  return {s.number, s.document, s.begin, s.length};
}

// The pieces of an epoch cover every document `passes` times, without overlap, none longer than sequence_tokens.
void expect_cover(const Corpus& corpus, std::vector<Sample> samples, int64_t sequence_tokens, int64_t passes) {
  std::map<int64_t, std::map<int64_t, std::vector<int64_t>>> lengths;  // document, begin
  for (const Sample& s : samples) {
    ASSERT_GT(s.length, 0);
    ASSERT_LE(s.length, sequence_tokens);
    lengths[s.document][s.begin].push_back(s.length);
  }
  ASSERT_EQ(static_cast<int64_t>(lengths.size()), corpus.num_documents());
  for (const auto& [document, pieces] : lengths) {
    int64_t at = 0;
    for (const auto& [begin, found] : pieces) {
      ASSERT_EQ(begin, at) << "document " << document;
      ASSERT_EQ(found, std::vector<int64_t>(static_cast<size_t>(passes), found[0]));
      at += found[0];
    }
    ASSERT_EQ(at, corpus.document(document).num_tokens);
  }
}

TEST(SamplerLaw, EachTokenOfEachDocumentOnceAnEpoch) {
  std::mt19937 random(1);
  for (uint64_t seed : {0, 1, 77})
    for (size_t documents : {1, 2, 5, 40})
      for (int64_t tokens : {1, 7, 32, 1000}) {
        SCOPED_TRACE(::testing::Message()
                     << "seed " << seed << ", " << documents << " documents, sequences of " << tokens);
        const MemoryCorpus corpus(MemoryCorpus::of_lengths(random_lengths(random, documents)));
        const Sampler sampler(corpus, {.seed = seed, .sequence_tokens = tokens});
        for (int64_t epoch = 0; epoch < 4; ++epoch) expect_cover(corpus, epoch_of(sampler, epoch), tokens, 1);
      }
}

TEST(SamplerLaw, WholeWeightsGiveThatManyPasses) {
  std::mt19937 random(2);
  auto documents = MemoryCorpus::of_lengths(random_lengths(random, 9));
  for (Document& d : documents) d.weight = 3;
  const MemoryCorpus corpus(documents);
  const Sampler sampler(corpus, {.seed = 5, .sequence_tokens = 16});
  for (int64_t epoch = 0; epoch < 3; ++epoch) expect_cover(corpus, epoch_of(sampler, epoch), 16, 3);
}

TEST(SamplerLaw, FractionsOfAWeightArePassesOnAverage) {
  const std::vector<double> weights{0.25, 1, 2.5};
  std::vector<Document> documents;
  for (double weight : weights)
    documents.insert(documents.end(), 400, {.num_tokens = 3, .label = -1, .weight = weight});
  const MemoryCorpus corpus(documents);
  const Sampler sampler(corpus, {.seed = 5, .sequence_tokens = 16});
  std::vector<double> seen(weights.size(), 0);
  constexpr int kEpochs = 20;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    std::map<int64_t, int64_t> passes;
    for (const Sample& s : epoch_of(sampler, epoch))
      ++passes[s.document], ++seen[static_cast<size_t>(s.document / 400)];
    for (const auto& [document, count] : passes) {
      const double weight = weights[static_cast<size_t>(document / 400)];
      ASSERT_GE(static_cast<double>(count), std::floor(weight));
      ASSERT_LE(static_cast<double>(count), std::ceil(weight));
    }
  }
  for (size_t i = 0; i < weights.size(); ++i) {  // within five standard deviations of independent coins
    const double share = weights[i] - std::floor(weights[i]), draws = 400.0 * kEpochs;
    EXPECT_NEAR(seen[i], weights[i] * draws, 5 * std::sqrt(draws * share * (1 - share))) << weights[i];
  }
}

TEST(SamplerLaw, OrderIsAPermutationThatChangesWithEpochAndSeed) {
  const MemoryCorpus corpus(MemoryCorpus::of_lengths(std::vector<int64_t>(300, 5)));
  std::vector<std::vector<int64_t>> orders;
  for (uint64_t seed : {1, 2})
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      const Sampler sampler(corpus, {.seed = seed, .sequence_tokens = 8});
      auto& order = orders.emplace_back();
      for (const Sample& s : epoch_of(sampler, epoch)) order.push_back(s.document);
      EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
    }
  for (size_t a = 0; a < orders.size(); ++a)
    for (size_t b = 0; b < a; ++b) {
      EXPECT_NE(orders[a], orders[b]);
      EXPECT_TRUE(std::is_permutation(orders[a].begin(), orders[a].end(), orders[b].begin(), orders[b].end()));
    }
}

TEST(SamplerLaw, CutsMoveFromEpochToEpochUnlessFixed) {
  const MemoryCorpus corpus(MemoryCorpus::of_lengths({1000}));
  const Sampler sampler(corpus, {.seed = 1, .sequence_tokens = 64}),
      fixed(corpus, {.seed = 1, .sequence_tokens = 64, .fixed = true});
  std::map<int64_t, std::vector<int64_t>> cuts;
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    for (const Sample& s : epoch_of(sampler, epoch)) cuts[epoch].push_back(s.begin);
    std::sort(cuts[epoch].begin(), cuts[epoch].end());
    std::vector<int64_t> of_fixed;
    for (const Sample& s : epoch_of(fixed, epoch)) of_fixed.push_back(s.begin);
    EXPECT_EQ(of_fixed, cuts[0]);
    for (int64_t before = 0; before < epoch; ++before) EXPECT_NE(cuts[epoch], cuts[before]);
  }
}

TEST(SamplerLaw, FixedIsCorpusOrderWithoutWeights) {
  std::mt19937 random(3);
  auto documents = MemoryCorpus::of_lengths(random_lengths(random, 20));
  for (Document& d : documents) d.weight = 2.5;
  const MemoryCorpus corpus(documents);
  const Sampler sampler(corpus, {.seed = 9, .sequence_tokens = 16, .fixed = true});
  const auto samples = epoch_of(sampler, 0);
  EXPECT_TRUE(std::is_sorted(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
    return std::pair(a.document, a.begin) < std::pair(b.document, b.begin);
  }));
  expect_cover(corpus, samples, 16, 1);
}

TEST(SamplerLaw, UncutDocumentsAreOneTruncatedSequenceEach) {
  std::mt19937 random(4);
  const MemoryCorpus corpus(MemoryCorpus::of_lengths(random_lengths(random, 30)));
  const Sampler sampler(corpus, {.seed = 9, .sequence_tokens = 16, .cut_documents = false});
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> seen(30, 0);
    for (const Sample& s : epoch_of(sampler, epoch)) {
      ++seen[static_cast<size_t>(s.document)];
      EXPECT_EQ(s.begin, 0);
      EXPECT_EQ(s.length, std::min<int64_t>(16, corpus.document(s.document).num_tokens));
    }
    EXPECT_EQ(seen, std::vector<int64_t>(30, 1));
  }
}

TEST(SamplerLaw, AnySampleByItselfIsTheSampleInSequence) {
  std::mt19937 random(5);
  auto documents = MemoryCorpus::of_lengths(random_lengths(random, 15));
  documents[3].weight = 0.5, documents[8].weight = 1.7;
  const MemoryCorpus corpus(documents);
  const SamplerOptions options{.seed = 3, .sequence_tokens = 20};
  const Sampler sampler(corpus, options);
  std::vector<Sample> order;
  for (int64_t epoch = 0; epoch < 5; ++epoch)
    for (const Sample& s : epoch_of(sampler, epoch)) order.push_back(s);
  const Sampler jumping(corpus, options);
  for (int i = 0; i < 300; ++i) {
    const size_t number = random() % order.size();
    ASSERT_EQ(order[number].number, static_cast<int64_t>(number));
    ASSERT_EQ(fields(jumping.at(static_cast<int64_t>(number))), fields(order[number]));
    ASSERT_EQ(fields(Sampler(corpus, options).at(static_cast<int64_t>(number))), fields(order[number]));
    ASSERT_EQ(jumping.epoch_of(static_cast<int64_t>(number)), sampler.epoch_of(static_cast<int64_t>(number)));
  }
}

TEST(SamplerLaw, BatchesAreAsFullAsTheyCanBeAndEndWithTheEpoch) {
  std::mt19937 random(6);
  const MemoryCorpus corpus(MemoryCorpus::of_lengths(random_lengths(random, 25)));
  const Sampler sampler(corpus, {.seed = 3, .sequence_tokens = 50});
  for (int64_t batch_tokens : {1, 40, 50, 200, 100000}) {
    int64_t next = 0;
    for (int steps = 0; next < sampler.epoch_begin(3); ++steps) {
      const auto batch = sampler.batch(next, batch_tokens);
      ASSERT_FALSE(batch.empty());
      int64_t tokens = 0;
      for (const Sample& s : batch) {
        ASSERT_EQ(fields(s), fields(sampler.at(next)));
        ++next, tokens += s.length;
      }
      ASSERT_TRUE(tokens <= batch_tokens || batch.size() == 1);
      const bool epoch_ends = next == sampler.epoch_begin(sampler.epoch_of(batch[0].number) + 1);
      ASSERT_TRUE(epoch_ends || tokens + sampler.at(next).length > batch_tokens) << "a fuller batch was possible";
      ASSERT_EQ(sampler.epoch_of(batch.back().number), sampler.epoch_of(batch[0].number));
    }
  }
}

TEST(SamplerLaw, SmallWeightsLeaveNoEpochEmpty) {
  const MemoryCorpus corpus(
      {{.num_tokens = 5, .label = -1, .weight = 0.3}, {.num_tokens = 20, .label = -1, .weight = 0.01}});
  const Sampler sampler(corpus, {.seed = 4, .sequence_tokens = 8});
  int64_t seen = 0;
  for (int64_t epoch = 0; epoch < 300; ++epoch) {
    const int64_t begin = sampler.epoch_begin(epoch), end = sampler.epoch_begin(epoch + 1);
    ASSERT_LT(begin, end);
    for (int64_t number = begin; number < end; ++number) seen += sampler.at(number).document == 1 ? 1 : 0;
  }
  EXPECT_GT(seen, 0) << "the rare document comes too";
}

TEST(Sampler, Errors) {
  const MemoryCorpus corpus(MemoryCorpus::of_lengths({5})), empty({});
  expect_error(ErrorKind::Config, "data.sequence_tokens = 0 must be at least 1",
               [&] { Sampler(corpus, {.sequence_tokens = 0}); });
  expect_error(ErrorKind::Data, "the corpus has no document", [&] { Sampler(empty, {.sequence_tokens = 8}); });
  const MemoryCorpus rare({{.num_tokens = 5, .label = -1, .weight = 1e-9}});
  expect_error(ErrorKind::Data, "epoch 0 has no sequence: the weights leave no document",
               [&] { (void)Sampler(rare, {.sequence_tokens = 8}).at(0); });
}

}  // namespace
}  // namespace smartbird
