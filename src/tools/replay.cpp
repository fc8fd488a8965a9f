// One pass over a rank's lists marks what it wants; loads follow.
#include "tools/replay.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/exchange_cost.h"
#include "ops/plan_parts.h"

namespace smartbird {
namespace {

std::vector<Sequence> packed(const std::vector<int64_t>& lengths) {
  std::vector<Sequence> out;
  int64_t begin = 0;
  for (int64_t length : lengths) out.push_back({out.size(), begin, length}), begin += length;
  return out;
}

double over_mean(const std::vector<double>& loads) {
  double sum = 0, most = 0;
  for (double load : loads) sum += load, most = std::max(most, load);
  return sum > 0 ? most * static_cast<double>(loads.size()) / sum : 1;
}

// What one sketch's picks make every rank fetch, in units.
struct SketchLoads {
  std::vector<RowsLoad> ranks;
  std::vector<double> picked;  // [G] of other ranks, over all ranks
  std::vector<double> lists, picks;
};

class Replayer {
 public:
  Replayer(const PicksRecord& record, const RecordedStream& stream, int ranks, LayoutKind kind)
      : record_(record),
        stream_(stream),
        settings_(record.settings()),
        layout_(packed(stream.lengths), static_cast<int>(record.query_block), ranks, kind),
        owner_(static_cast<size_t>(layout_.num_tokens())) {
    for (const Run& run : layout_.runs()) std::fill(owner_.begin() + run.begin, owner_.begin() + run.end, run.rank);
  }

  [[nodiscard]] const Layout& layout() const { return layout_; }

  [[nodiscard]] SketchLoads loads(const DrawnLists& lists) const {
    const size_t ranks = static_cast<size_t>(layout_.num_ranks()), g = static_cast<size_t>(record_.kv_heads);
    SketchLoads out{std::vector<RowsLoad>(ranks), std::vector<double>(g, 0), std::vector<double>(ranks, 0),
                    std::vector<double>(ranks, 0)};
    std::vector<int32_t> marked(owner_.size() * g, -1), slot(owner_.size(), -1);  // the last rank that did
    for (int rank = 0; rank < layout_.num_ranks(); ++rank) {
      const auto known = [&](const std::vector<int64_t>& tokens, auto part) {
        for (int64_t token : tokens) {
          slot[static_cast<size_t>(token)] = rank;
          (out.ranks[static_cast<size_t>(rank)].*part).received += static_cast<double>(g);
          (out.ranks[static_cast<size_t>(owner_[static_cast<size_t>(token)])].*part).sent += static_cast<double>(g);
        }
      };
      known(band_halo(layout_, settings_, rank), &RowsLoad::halo);
      known(global_halo(layout_, settings_, rank), &RowsLoad::globals);
      for (const Layout::Block& block : layout_.blocks_of(rank)) mark(lists, block, rank, marked, slot, out);
    }
    return out;
  }

  [[nodiscard]] std::vector<double> scans() const {
    std::vector<double> out;
    for (int rank = 0; rank < layout_.num_ranks(); ++rank) {
      out.push_back(0);
      for (const auto& domain : scan_blocks(layout_, settings_, layout_.blocks_of(rank)))
        out.back() += static_cast<double>(kernels::domain_size(domain, settings_.global_positions));
    }
    return out;
  }

 private:
  void mark(const DrawnLists& lists, const Layout::Block& block, int rank, std::vector<int32_t>& marked,
            const std::vector<int32_t>& slot, SketchLoads& out) const {
    const int64_t begin = layout_.sequences()[static_cast<size_t>(block.sequence)].begin,
                  number = layout_.blocks_before(block.sequence) + block.index;
    const size_t me = static_cast<size_t>(rank);
    for (int64_t head = 0; head < record_.pick_heads; ++head) {
      const size_t list = static_cast<size_t>(number * record_.pick_heads + head);
      const int64_t kv = head * record_.kv_heads / record_.pick_heads;
      out.lists[me] += 1, out.picks[me] += static_cast<double>(lists.start[list + 1] - lists.start[list]);
      for (int64_t i = lists.start[list]; i < lists.start[list + 1]; ++i) {
        const size_t token = static_cast<size_t>(begin + lists.key[static_cast<size_t>(i)]);
        int32_t& last = marked[token * static_cast<size_t>(record_.kv_heads) + static_cast<size_t>(kv)];
        if (owner_[token] == rank || last == rank) continue;
        last = rank;
        out.picked[static_cast<size_t>(kv)] += 1;
        if (slot[token] == rank) continue;
        out.ranks[me].singles.received += 1, out.ranks[static_cast<size_t>(owner_[token])].singles.sent += 1;
      }
    }
  }

  const PicksRecord& record_;
  const RecordedStream& stream_;
  AttentionSettings settings_;
  Layout layout_;
  std::vector<int32_t> owner_;
};

}  // namespace

double Replay::cheapest_s() const { return *std::min_element(seconds.begin(), seconds.end()); }

Replay replay(const PicksRecord& record, const RecordedStream& stream, int ranks, LayoutKind kind, const Link& link) {
  const Replayer replayer(record, stream, ranks, kind);
  const Layout& layout = replayer.layout();
  const double n = static_cast<double>(layout.num_tokens()), remote = n * (ranks - 1);
  const bool dealt = record.kv_heads % ranks == 0;
  Replay out;
  std::vector<double> sent(static_cast<size_t>(ranks), 0);
  out.seconds[2] = dealt ? 0 : std::numeric_limits<double>::infinity();
  for (size_t sketch = 0; sketch < stream.sketches.size(); ++sketch) {
    const SketchLoads loads = replayer.loads(stream.sketches[sketch]);
    const ExchangeUse use = record.use(sketch);
    out.phi_by_sketch_head.emplace_back();
    for (double picked : loads.picked) out.phi_by_sketch_head.back().push_back(remote > 0 ? picked / remote : 0);
    const double trips = static_cast<double>(use.layers) * 2 * static_cast<double>(record.head_width) *
                         (static_cast<double>(use.row_fetches) * use.kv_element_bytes + use.element_bytes);
    std::array<double, 3> slowest{};
    for (int rank = 0; rank < ranks; ++rank) {
      const size_t r = static_cast<size_t>(rank);
      const RowsLoad& load = loads.ranks[r];
      const double own = static_cast<double>(layout.rank_tokens(rank)), g = static_cast<double>(record.kv_heads);
      out.row_bytes += trips * load.singles.received;
      out.halo_bytes += trips * (load.halo.received + load.globals.received);
      sent[r] += load.halo.sent + load.globals.sent + load.singles.sent;
      slowest[0] = std::max(slowest[0], rows_seconds(link, use, load));
      slowest[1] = std::max(slowest[1], all_seconds(link, use, {own * (ranks - 1) * g, (n - own) * g}));
      if (dealt)
        slowest[2] = std::max(slowest[2], heads_seconds(link, use,
                                                        {.ranks = ranks,
                                                         .tokens = layout.num_tokens(),
                                                         .own_tokens = layout.rank_tokens(rank),
                                                         .heads = record.heads,
                                                         .kv_heads = record.kv_heads,
                                                         .lists = loads.lists[r],
                                                         .picks = loads.picks[r]}));
    }
    for (size_t plan = 0; plan < slowest.size(); ++plan) out.seconds[plan] += slowest[plan];
    out.all_bytes += trips * remote * static_cast<double>(record.kv_heads);
  }
  double heads = 0;
  for (const auto& by_head : out.phi_by_sketch_head)
    for (double phi : by_head) out.phi += phi, heads += 1;
  if (heads > 0) out.phi /= heads;
  out.scan_imbalance = over_mean(replayer.scans()), out.sent_imbalance = over_mean(sent);
  return out;
}

RecordedStream first_tokens(const PicksRecord& record, const RecordedStream& stream, int64_t tokens) {
  RecordedStream out;
  int64_t blocks = 0;
  for (int64_t length : stream.lengths) {
    const int64_t taken = std::min(length, tokens);
    tokens -= taken;
    if (taken == 0) break;
    out.lengths.push_back(taken);
    blocks += (taken + record.query_block - 1) / record.query_block;
  }
  for (const DrawnLists& lists : stream.sketches) {
    const size_t end = static_cast<size_t>(blocks * record.pick_heads);
    out.sketches.push_back({{lists.start.begin(), lists.start.begin() + static_cast<int64_t>(end) + 1},
                            {lists.key.begin(), lists.key.begin() + lists.start[end]}});
  }
  return out;
}

double scan_pairs(const PicksRecord& record, const RecordedStream& stream) {
  return Replayer(record, stream, 1, LayoutKind::Contiguous).scans()[0];
}

}  // namespace smartbird
