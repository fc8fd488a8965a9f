// Law: a row reads what it may see and nothing else. Changing a token changes no bit of what comes before it (causal and
// prefix-LM) and no bit of another document; and it does change something where it may be seen.
#include <gtest/gtest.h>

#include "tests/support/cover_pairs.h"
#include "tests/support/tiny_run.h"

namespace smartbird::testing {
namespace {

using kernels::DrawMode;

struct Case {
  TinyRun run;
  int ranks = 1;
};

const Axis<Case> kDraws{{"poisson", [](Case&) {}},
                        {"systematic", [](Case& c) { c.run.shape.attention.draw = DrawMode::Systematic; }},
                        {"topk", [](Case& c) { c.run.shape.attention.draw = DrawMode::TopK; }},
                        {"gumbel", [](Case& c) { c.run.shape.attention.draw = DrawMode::Gumbel; }},
                        {"iid", [](Case& c) { c.run.shape.attention.draw = DrawMode::Iid; }},
                        {"oracle", [](Case& c) { c.run.shape.attention.draw = DrawMode::Oracle; }},
                        {"bigbird", [](Case& c) { c.run.shape.attention.draw = DrawMode::BigBird; }},
                        {"uniform", [](Case& c) { c.run.shape.attention.draw = DrawMode::Uniform; }},
                        {"none", [](Case& c) { c.run.shape.attention.draw = DrawMode::None; }}};
const Axis<Case> kShares{{"g 16", [](Case& c) { c.run.shape.attention.share_rows = 16; }},
                         {"g 1", [](Case& c) { c.run.shape.attention.share_rows = 1; }},
                         {"g all", [](Case& c) { c.run.shape.attention.share_rows = 0; }}};
const Axis<Case> kBlocks{{"b 1", [](Case&) {}},
                         {"b 4", [](Case& c) { c.run.query_block = 4; }},
                         {"b 16", [](Case& c) { c.run.query_block = 16; }}};
const Axis<Case> kRanks{{"P 1", [](Case&) {}},
                        {"P 3", [](Case& c) { c.ranks = 3; }},
                        {"P 3 zigzag", [](Case& c) { c.ranks = 3, c.run.layout = LayoutKind::Zigzag; }}};
const Axis<Case> kPlans{{"rows", [](Case&) {}},
                        {"all", [](Case& c) { c.run.shape.attention.exchange = ExchangePlan::All; }},
                        {"heads", [](Case& c) {
                           AttentionSettings& s = c.run.shape.attention;
                           s.exchange = ExchangePlan::Heads;
                           s.heads = 6, s.kv_heads = s.pick_heads = 3, c.run.shape.heads = 6, c.run.shape.kv_heads = 3;
                         }}};
const Axis<Case> kGlobals{{"no globals", [](Case&) {}}, {"globals", [](Case& c) {
                                                           c.run.shape.attention.global_positions = {2, 23};
                                                         }}};
const Axis<Case> kSketches{{"one sketch", [](Case&) {}},
                           {"a sketch a layer", [](Case& c) { c.run.shape.sketch_per_layer = true; }},
                           {"a draw a layer", [](Case& c) { c.run.shape.redraw_layers = true; }}};

Case plain_case(std::vector<int64_t> lengths) {
  Case c;
  c.run.shape = tiny_shape();
  c.run.lengths = std::move(lengths);
  return c;
}

// The run with other tokens where `changed` says so.
Case with_tokens(const Case& c, const std::function<bool(int64_t sample, int64_t position)>& changed) {
  Case out = c;
  out.run.token = [plain = c.run.token, changed](int64_t sample, int64_t position) {
    return (plain(sample, position) + (changed(sample, position) ? 5 : 0)) % 23;
  };
  return out;
}

double loss_of(const Case& c) { return run_tiny(c.run, c.ranks).loss; }

TEST(Reach, NoFuture) {
  const Axis<Case> visibilities{{"causal", [](Case&) {}},
                                {"prefix", [](Case& c) { c.run.shape.attention.visibility.prefix = 9; }}};
  for (auto [name, c] : covering_cases(
           plain_case({40, 6}), {kDraws, kShares, crossed(visibilities, kBlocks), kRanks, kPlans, kGlobals, kSketches}))
    for (const int64_t changed : {9, 22, 39}) {  // from the prefix on
      Case other =
          with_tokens(c, [=](int64_t sample, int64_t position) { return sample == 100 && position == changed; });
      EXPECT_NE(loss_of(c), loss_of(other)) << name << ", token " << changed << " is read by nobody";
      c.run.count_before = other.run.count_before = changed - 1;  // targets before the changed token
      EXPECT_EQ(loss_of(c), loss_of(other)) << name << ", changed token " << changed;
      c.run.count_before = -1;
    }
}

TEST(Reach, ForeignDocumentsAreNotRead) {
  const Axis<Case> tasks{{"clm", [](Case&) {}},
                         {"bidirectional", [](Case& c) { c.run.shape.attention.visibility.causal = false; }},
                         {"prefix", [](Case& c) { c.run.shape.attention.visibility.prefix = 9; }},
                         {"classify",
                          [](Case& c) {
                            c.run.shape.attention.visibility.causal = false, c.run.task = Task::Classify;
                            c.run.shape.classes = 3, c.run.shape.pooling = Pooling::Statistics;
                          }},
                         {"attention pooling", [](Case& c) {
                            c.run.shape.attention.visibility.causal = false, c.run.task = Task::Classify;
                            c.run.shape.classes = 3, c.run.shape.pooling = Pooling::Attention;
                          }}};
  for (auto [name, c] :
       covering_cases(plain_case({40, 30}), {kDraws, kShares, kBlocks, kRanks, kPlans, kGlobals, kSketches, tasks}))
    for (const int64_t changed : {100, 101}) {  // the document before, the document behind
      Case other = with_tokens(c, [=](int64_t sample, int64_t) { return sample == changed; });
      c.run.only_sample = other.run.only_sample = changed;
      EXPECT_NE(loss_of(c), loss_of(other)) << name << ", document " << changed << " does not read itself";
      c.run.only_sample = other.run.only_sample = 201 - changed;
      EXPECT_EQ(loss_of(c), loss_of(other)) << name << ", changed document " << changed;
    }
}

TEST(Reach, TheLastTokenChangesTokenLosses) {
  for (const auto& [name, c] : covering_cases(plain_case({7}), {kDraws, kBlocks, kRanks})) {
    Case seen = c;
    seen.run.shape.attention.visibility.causal = false;
    const Case other = with_tokens(seen, [](int64_t, int64_t position) { return position == 6; });
    EXPECT_GT(std::abs(loss_of(seen) - loss_of(other)), 1e-6) << name;
  }
}

// Every pooling reads the last token of every document, except the first row of a causal model, which cannot.
TEST(Reach, TheLastTokenChangesTheLabelLoss) {
  for (const Pooling pooling : {Pooling::Mean, Pooling::First, Pooling::Attention, Pooling::Statistics})
    for (const bool causal : {true, false})
      for (const int ranks : {1, 3})
        for (const int64_t document : {100, 101}) {
          Case c = plain_case({19, 4});
          c.ranks = ranks, c.run.task = Task::Classify, c.run.shape.classes = 3, c.run.shape.pooling = pooling;
          c.run.shape.attention.visibility.causal = causal, c.run.shape.attention.picks = 100;
          const Case other = with_tokens(c, [=](int64_t sample, int64_t position) {
            return sample == document && position == (document == 100 ? 18 : 3);
          });
          const double moved = std::abs(loss_of(c) - loss_of(other));
          const auto what = ::testing::Message() << "pooling " << static_cast<int>(pooling) << ", causal " << causal
                                                 << ", P " << ranks << ", document " << document;
          if (pooling == Pooling::First && causal) {
            EXPECT_EQ(moved, 0) << what;
          } else {
            EXPECT_GT(moved, 1e-6) << what;
          }
        }
}

}  // namespace
}  // namespace smartbird::testing
