// A plan a choice, on one rank; replay lays it over many.
#include "tools/selector_traffic.h"

#include <algorithm>
#include <numeric>

#include "model/sketch.h"
#include "tools/replay.h"

namespace smartbird {
namespace {

// The record that replay reads, of one plan.
PicksRecord record_of(const ModelShape& shape, int64_t query_block, const Layout& layout, const Plan& plan) {
  PicksRecord record = describe_picks(shape, static_cast<int>(query_block), 4, 0);
  record.layers_by_sketch = {1};
  RecordedStream stream;
  for (const Sequence& sequence : layout.sequences()) stream.lengths.push_back(sequence.length);
  stream.sketches.push_back({plan.drawn_start, {plan.drawn_key.begin(), plan.drawn_key.end()}});
  record.streams.push_back(std::move(stream));
  return record;
}

}  // namespace

std::vector<TrafficReport> traffic_choices(int64_t query_block) {
  std::vector<TrafficReport> out;
  std::vector<int64_t> blocks{query_block};
  for (int64_t b : {1, 8, 32})
    if (b != query_block) blocks.push_back(b);
  for (int64_t b : blocks)
    for (int64_t g : {b, std::lcm(b, int64_t{64}), int64_t{0}})
      if (std::none_of(out.begin(), out.end(),
                       [&](const TrafficReport& t) { return t.query_block == b && t.share_rows == g; }))
        out.push_back({.query_block = b, .share_rows = g, .phi = std::vector<double>(std::size(kTrafficRanks), 0)});
  return out;
}

void add_traffic(const StepContext& context, const Parameters& parameters, const ModelShape& shape,
                 const ObservedSketch& sketch, std::vector<TrafficReport>& choices) {
  for (TrafficReport& choice : choices) {
    const Layout layout({context.layout.sequences().begin(), context.layout.sequences().end()},
                        static_cast<int>(choice.query_block), 1, LayoutKind::Contiguous);
    const StepContext blocks{context.world, layout,        context.timer, context.seed,
                             context.step,  context.phase, context.link};
    SketchScores scores = sketch.scores;
    scores.queries =
        run_sketch(blocks, parameters, shape, sketch.number, sketch.input, sketch.position).queries.detach();
    AttentionSettings settings = sketch.settings;
    settings.share_rows = choice.share_rows;
    const Plan plan = make_plan(blocks, settings, scores, sketch.input.options());
    const PicksRecord record = record_of(shape, choice.query_block, layout, plan);
    for (size_t i = 0; i < std::size(kTrafficRanks); ++i)
      choice.phi[i] += replay(record, record.streams[0], kTrafficRanks[i], LayoutKind::Contiguous, {}).phi;
    choice.draws += 1;
    choice.blocks = std::min(choice.blocks, layout.num_blocks());
  }
}

}  // namespace smartbird
