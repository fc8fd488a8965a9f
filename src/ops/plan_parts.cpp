// Bands, halos, domains, units and hash of a plan.
#include "ops/plan_parts.h"

namespace smartbird {
namespace {

template <class Body>
void for_rows(const Layout& layout, int rank, Body body) {  // body(block, stream position, position in the sequence)
  for (const Layout::Block& block : layout.blocks_of(rank)) {
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(block.sequence)];
    for (int64_t i = block.begin; i < block.end; ++i) body(block, sequence, i);
  }
}

}  // namespace

void add_bands(const Layout& layout, const AttentionSettings& s, int rank, Plan& plan) {
  for (auto* column : {&plan.band_begin, &plan.band_end, &plan.row_block})
    column->reserve(static_cast<size_t>(layout.rank_tokens(rank)));
  int64_t block_number = -1, last_sequence = -1, last_index = -1;
  for_rows(layout, rank, [&](const Layout::Block& block, const Sequence& sequence, int64_t i) {
    if (block.sequence != last_sequence || block.index != last_index) ++block_number;
    last_sequence = block.sequence, last_index = block.index;
    const Span band = band_of(s.pattern, s.visibility, s.window, i, block, layout.query_block(), sequence.length);
    plan.band_begin.push_back(sequence.begin + band.begin);
    plan.band_end.push_back(sequence.begin + band.end);
    plan.row_block.push_back(block_number);
  });
  plan.num_blocks = block_number + 1;
}

std::vector<int64_t> band_halo(const Layout& layout, const AttentionSettings& s, int rank) {
  std::vector<int64_t> tokens;
  int64_t next = 0;  // bands ascend: everything before was seen
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t token = std::max(begin, next); token < end;) {
      const Run& run = layout.run_of(token);
      if (run.rank == rank)
        token = run.end;
      else
        tokens.push_back(token++);
    }
    next = std::max(next, end);
  };
  for_rows(layout, rank, [&](const Layout::Block& block, const Sequence& sequence, int64_t i) {
    const Span band = band_of(s.pattern, s.visibility, s.window, i, block, layout.query_block(), sequence.length);
    add(sequence.begin + band.begin, sequence.begin + band.end);
  });
  return tokens;
}

std::vector<int64_t> global_halo(const Layout& layout, const AttentionSettings& s, int rank) {
  std::vector<int64_t> tokens;
  int64_t last = -1;
  for (const Layout::Block& block : layout.blocks_of(rank)) {
    if (block.sequence == last) continue;
    last = block.sequence;
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(last)];
    for (int64_t position : s.global_positions)
      if (position < sequence.length && layout.owner(sequence.begin + position) != rank)
        tokens.push_back(sequence.begin + position);
  }
  return tokens;
}

std::vector<int64_t> foreign_tokens(const Layout& layout, int rank) {
  std::vector<int64_t> tokens;
  for (const Run& run : layout.runs())
    if (run.rank != rank)
      for (int64_t token = run.begin; token < run.end; ++token) tokens.push_back(token);
  return tokens;
}

std::vector<kernels::ScanBlock> scan_blocks(const Layout& layout, const AttentionSettings& s,
                                            const std::vector<Layout::Block>& blocks) {
  std::vector<kernels::ScanBlock> out;
  out.reserve(blocks.size());
  for (const Layout::Block& block : blocks) {
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(block.sequence)];
    kernels::ScanBlock domain{.sample = sequence.sample,
                              .first_key = sequence.begin,
                              .index = block.index,
                              .group = s.share_rows == 0 ? 0 : block.begin / s.share_rows};
    set_domain(domain, s.visibility, s.window, block, layout.query_block(), sequence.length);
    out.push_back(domain);
  }
  return out;
}

PickRows place_picks(const StepContext& context, const AttentionSettings& s, const std::vector<Layout::Block>& blocks,
                     const std::vector<int64_t>& start, const std::vector<int64_t>& key, Plan& plan) {
  const Layout& layout = context.layout;
  const int64_t kv_heads = s.kv_heads;
  PickRows out;
  out.wanted.resize(static_cast<size_t>(layout.num_ranks()));
  // 0 = not picked, 1 = picked; then the number of the single unit. Only rows of other ranks.
  std::vector<int32_t> mark(static_cast<size_t>(layout.num_tokens() * kv_heads), 0);
  const auto kv_head = [&](int64_t pick_head) { return pick_head * kv_heads / s.pick_heads; };
  const auto for_picks = [&](auto body) {
    for (size_t list = 0; list + 1 < start.size(); ++list) {
      const Layout::Block& block = blocks[list / static_cast<size_t>(s.pick_heads)];
      const Sequence& sequence = layout.sequences()[static_cast<size_t>(block.sequence)];
      body(block, sequence, kv_head(static_cast<int64_t>(list) % s.pick_heads), start[list], start[list + 1]);
    }
  };
  for_picks([&](const Layout::Block&, const Sequence& sequence, int64_t head, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      mark[static_cast<size_t>((sequence.begin + key[static_cast<size_t>(i)]) * kv_heads + head)] = 1;
  });
  std::vector<int64_t> owned(static_cast<size_t>(layout.num_ranks()), 0);
  const auto for_remote = [&](auto body) {
    for (const Run& run : layout.runs())
      if (run.rank != context.rank())
        for (int64_t i = run.begin * kv_heads; i < run.end * kv_heads; ++i)
          if (mark[static_cast<size_t>(i)] != 0) body(run, i);
  };
  for_remote([&](const Run& run, int64_t i) {
    ++plan.stats.picked_remote;
    if (plan.token_slot[static_cast<size_t>(i / kv_heads)] >= 0) return;
    ++owned[static_cast<size_t>(run.rank)];
  });
  int64_t next = plan.token_slots * kv_heads;
  std::vector<int64_t> first(owned.size());
  for (size_t rank = 0; rank < owned.size(); ++rank) first[rank] = next, next += owned[rank];
  for_remote([&](const Run& run, int64_t i) {
    if (plan.token_slot[static_cast<size_t>(i / kv_heads)] >= 0) return;
    const size_t owner = static_cast<size_t>(run.rank);
    mark[static_cast<size_t>(i)] = static_cast<int32_t>(first[owner]++);
    out.wanted[owner].push_back((run.local + i / kv_heads - run.begin) * kv_heads + i % kv_heads);
  });
  out.start.reserve(start.size());
  for (auto* column : {&out.unit, &out.source}) column->reserve(key.size());
  out.token.reserve(key.size());
  out.start.push_back(0);
  for_picks([&](const Layout::Block& block, const Sequence& sequence, int64_t head, int64_t begin, int64_t end) {
    kernels::ScanBlock domain;
    set_domain(domain, s.visibility, s.window, block, layout.query_block(), sequence.length);
    const auto add = [&](int64_t position, int64_t source) {
      const int64_t token = sequence.begin + position;
      const int32_t slot = plan.token_slot[static_cast<size_t>(token)];
      out.unit.push_back(slot >= 0 ? slot * kv_heads + head : mark[static_cast<size_t>(token * kv_heads + head)]);
      out.token.push_back(static_cast<int32_t>(token));
      out.source.push_back(source);
    };
    int64_t next = begin;
    const auto add_drawn_before = [&](int64_t position) {
      for (; next < end && key[static_cast<size_t>(next)] < position; ++next) add(key[static_cast<size_t>(next)], next);
    };
    for (int64_t position : s.global_positions) {
      const bool left = position < domain.left_end,
                 right = position >= domain.right_begin && position < domain.right_end;
      if (!left && !right) continue;
      add_drawn_before(position);
      add(position, -1);
    }
    add_drawn_before(INT64_MAX);
    out.start.push_back(static_cast<int64_t>(out.unit.size()));
  });
  return out;
}

uint64_t hash_picks(const std::vector<kernels::ScanBlock>& blocks, int pick_heads, int layer,
                    const std::vector<int64_t>& start, const std::vector<int64_t>& key) {
  uint64_t sum = 0;
  for (size_t list = 0; list + 1 < start.size(); ++list) {
    const kernels::ScanBlock& block = blocks[list / static_cast<size_t>(pick_heads)];
    const uint32_t head =
        static_cast<uint32_t>(list % static_cast<size_t>(pick_heads)) + static_cast<uint32_t>(layer) * 65536u;
    for (int64_t i = start[list]; i < start[list + 1]; ++i) {
      const PhiloxCounter x = philox({static_cast<uint32_t>(block.sample), static_cast<uint32_t>(block.index), head,
                                      static_cast<uint32_t>(key[static_cast<size_t>(i)])},
                                     {static_cast<uint32_t>(block.sample >> 32), 0x9A5Cu});
      sum += (static_cast<uint64_t>(x[0]) << 32) | x[1];
    }
  }
  return sum;
}

}  // namespace smartbird
