// Law: picks laid over ranks afterwards give what the ranks counted when they made their plans: phi, rows that travel, work of
// the scan; and the file they are kept in gives back what it was given.
#include "tools/replay.h"

#include <cmath>
#include <mutex>

#include "tests/support/plan_cases.h"
#include "tests/support/temp_folder.h"

namespace smartbird::testing {
namespace {

constexpr int64_t kHeadWidth = 5;

PicksRecord record_of(const PlanCase& c) {
  const AttentionSettings& s = c.settings;
  PicksRecord r;
  r.heads = s.heads, r.kv_heads = s.kv_heads, r.pick_heads = s.pick_heads, r.head_width = kHeadWidth;
  r.query_block = c.block, r.window = s.window, r.prefix = s.visibility.prefix, r.causal = s.visibility.causal;
  r.global_positions = s.global_positions;
  r.layers_by_sketch = {3};
  r.element_bytes = r.kv_element_bytes = r.parameter_bytes = 8;
  return r;
}

struct Counted {
  PlanStats stats;
  int64_t singles = 0, halos = 0, most_sent = 0, most_scanned = 0;
  DrawnLists lists;
};

Counted count(const PlanCase& c) {
  Counted out;
  std::mutex lock;
  with_plan(c, [&](const StepContext& context, const Plan& plan) {
    DrawnLists lists = gather_lists(context, plan);
    const std::lock_guard guard(lock);
    out.stats.add(plan.stats);
    out.singles += plan.rows.num_received();
    out.halos += (plan.halo.num_received() + plan.globals.num_received()) * plan.kv_heads;
    out.most_sent = std::max(out.most_sent, plan.stats.sent_rows);
    out.most_scanned = std::max(out.most_scanned, plan.stats.scan_pairs);
    out.lists = std::move(lists);
  });
  return out;
}

TEST(Replay, CountsWhatRanksCounted) {
  for (const auto& [name, c] : plan_cases()) {
    if (c.settings.pattern != Pattern::Sparse || c.settings.exchange != ExchangePlan::Rows) continue;
    const Counted counted = count(c);
    const PicksRecord record = record_of(c);
    const RecordedStream stream{c.lengths, {counted.lists}};
    const Replay laid = replay(record, stream, c.ranks, c.layout, {0, 1});
    const double remote = static_cast<double>(counted.stats.remote), unit = 3 * 2 * 2 * kHeadWidth * 8.0,
                 ranks = c.ranks;
    EXPECT_NEAR(laid.phi, remote > 0 ? static_cast<double>(counted.stats.picked_remote) / remote : 0, 1e-12) << name;
    EXPECT_DOUBLE_EQ(laid.row_bytes, unit * static_cast<double>(counted.singles)) << name;
    EXPECT_DOUBLE_EQ(laid.halo_bytes, unit * static_cast<double>(counted.halos)) << name;
    EXPECT_DOUBLE_EQ(laid.all_bytes, unit * remote) << name;
    if (counted.stats.sent_rows > 0) {
      EXPECT_NEAR(laid.sent_imbalance,
                  static_cast<double>(counted.most_sent) * ranks / static_cast<double>(counted.stats.sent_rows), 1e-12)
          << name;
    }
    if (counted.stats.scan_pairs > 0) {
      EXPECT_NEAR(laid.scan_imbalance,
                  static_cast<double>(counted.most_scanned) * ranks / static_cast<double>(counted.stats.scan_pairs),
                  1e-12)
          << name;
    }
    EXPECT_EQ(scan_pairs(record, stream), static_cast<double>(counted.stats.scan_pairs)) << name;
    for (size_t g = 0; g < counted.stats.picked_by_head.size() && remote > 0; ++g)
      EXPECT_NEAR(laid.phi_by_sketch_head[0][g],
                  static_cast<double>(counted.stats.picked_by_head[g]) * record.kv_heads / remote, 1e-12)
          << name;
  }
}

// What a causal sequence draws does not depend on what follows.
TEST(Replay, FirstTokensAreAShorterSequence) {
  PlanCase c;
  c.lengths = {60};
  c.settings.window = 2;
  const Counted whole = count(c);
  PlanCase half = c;
  half.lengths = {30};
  const RecordedStream cut = first_tokens(record_of(c), {c.lengths, {whole.lists}}, 30);
  EXPECT_EQ(cut.lengths, half.lengths);
  EXPECT_EQ(cut.sketches[0].start.size(), 30U * 2 + 1);
  for (size_t list = 0; list < 60; ++list)
    for (int64_t i = cut.sketches[0].start[list]; i < cut.sketches[0].start[list + 1]; ++i)
      EXPECT_LT(cut.sketches[0].key[static_cast<size_t>(i)], static_cast<int64_t>(list) / 2) << "list " << list;
}

PicksRecord recorded() {
  PlanCase c;
  c.block = 4;
  PicksRecord record = record_of(c);
  record.step = 7, record.compute_s = 1.5, record.scan_s = 0.25, record.parameters = 99;
  record.streams = {{c.lengths, {count(c).lists}}, {c.lengths, {count(c).lists}}};
  return record;
}

TEST(PicksFile, GivesBackWhatItWasGiven) {
  const TempFolder folder;
  const PicksRecord record = recorded();
  write_picks(folder.path("a"), record);
  const PicksRecord read = read_picks(folder.path("a"));
  EXPECT_EQ(read.step, 7);
  EXPECT_EQ(read.compute_s, 1.5);
  EXPECT_EQ(read.query_block, 4);
  EXPECT_EQ(read.layers_by_sketch, record.layers_by_sketch);
  ASSERT_EQ(read.streams.size(), 2U);
  for (size_t i : {0, 1}) {
    EXPECT_EQ(read.streams[i].lengths, record.streams[i].lengths);
    EXPECT_EQ(read.streams[i].sketches[0].start, record.streams[i].sketches[0].start);
    EXPECT_EQ(read.streams[i].sketches[0].key, record.streams[i].sketches[0].key);
  }
}

TEST(PicksFile, DamageIsOneSentence) {
  const TempFolder folder;
  const auto refused = [&](auto damage, const std::string& message) {
    PicksRecord record = recorded();
    damage(record);
    write_picks(folder.path("a"), record);
    expect_error(ErrorKind::Data, folder.path("a") + ": " + message, [&] { (void)read_picks(folder.path("a")); });
  };
  refused([](PicksRecord& r) { r.streams[1].sketches[0].key[3] = 11; }, "its lists of picks are damaged");
  refused([](PicksRecord& r) { r.streams[0].sketches[0].key[0] = -1; }, "its lists of picks are damaged");
  refused([](PicksRecord& r) { r.streams[0].sketches[0].start[1] += 1000; }, "its lists of picks are damaged");
  refused([](PicksRecord& r) { r.streams[0].lengths.push_back(5); }, "its lists of picks are damaged");
  refused([](PicksRecord& r) { r.streams[0].lengths[0] = 0; }, "a sequence of 0 tokens");
  refused([](PicksRecord& r) { r.kv_heads = 0; }, "its description of the model is damaged");
  refused([](PicksRecord& r) { r.layers_by_sketch = {0}; }, "its description of the model is damaged");
}

// Before products could be narrower than weights, one number was the bytes of both.
TEST(PicksFile, OfAnEarlierVersionIsRead) {
  const TempFolder folder;
  write_picks(folder.path("a"), recorded());
  std::string bytes = read_bytes(folder.path("a"));
  const std::string name = "parameter_bytes";
  const size_t at = bytes.find(name);
  ASSERT_NE(at, std::string::npos);
  folder.write("b", bytes.replace(at, name.size(), "something_else_"));
  const PicksRecord read = read_picks(folder.path("b"));
  EXPECT_EQ(read.element_bytes, 8);
  EXPECT_EQ(read.parameter_bytes, 8);
}

}  // namespace
}  // namespace smartbird::testing
