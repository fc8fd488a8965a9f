// Bands, halos, domains, units and hash of a plan.
#include "ops/plan_parts.h"

#include <algorithm>

#include "core/error.h"

namespace smartbird {
namespace {

template <class Body>
void for_rows(const Layout& layout, const std::vector<Layout::Block>& blocks, Body body) {
  for (const Layout::Block& block : blocks) {  // body(block, sequence, position in the sequence)
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(block.sequence)];
    for (int64_t i = block.begin; i < block.end; ++i) body(block, sequence, i);
  }
}

}  // namespace

std::vector<Layout::Block> all_blocks(const Layout& layout) {
  std::vector<Layout::Block> out;
  for (int rank = 0; rank < layout.num_ranks(); ++rank) {
    const std::vector<Layout::Block> blocks = layout.blocks_of(rank);
    out.insert(out.end(), blocks.begin(), blocks.end());
  }
  std::sort(out.begin(), out.end(), [](const Layout::Block& a, const Layout::Block& b) {
    return std::pair(a.sequence, a.index) < std::pair(b.sequence, b.index);
  });
  return out;
}

void add_bands(const Layout& layout, const AttentionSettings& s, const std::vector<Layout::Block>& blocks, Plan& plan) {
  for (auto* column : {&plan.band_begin, &plan.band_end, &plan.row_block})
    column->reserve(static_cast<size_t>(plan.num_rows));
  int64_t block_number = -1, last_sequence = -1, last_index = -1;
  for_rows(layout, blocks, [&](const Layout::Block& block, const Sequence& sequence, int64_t i) {
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
  for_rows(layout, layout.blocks_of(rank), [&](const Layout::Block& block, const Sequence& sequence, int64_t i) {
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

void add_known_rows(const Layout& layout, int rank, const AttentionSettings& s, Plan& plan) {
  plan.token_slot.assign(static_cast<size_t>(layout.num_tokens()), -1);
  int32_t slot = 0;
  for (int64_t token : layout.tokens_of(rank)) plan.token_slot[static_cast<size_t>(token)] = slot++;
  const bool all = s.exchange == ExchangePlan::All;
  KnownRequests halo = known_requests(
      layout, rank, [&](int other) { return all ? foreign_tokens(layout, other) : band_halo(layout, s, other); });
  for (int64_t token : halo.tokens) plan.token_slot[static_cast<size_t>(token)] = slot++;
  KnownRequests globals = known_requests(
      layout, rank, [&](int other) { return all ? std::vector<int64_t>{} : global_halo(layout, s, other); });
  for (int64_t token : globals.tokens) {
    int32_t& place = plan.token_slot[static_cast<size_t>(token)];
    if (place < 0) place = slot;
    ++slot;
  }
  plan.token_slots = slot;
  plan.halo = std::move(halo.requests);
  plan.globals = std::move(globals.requests);
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

namespace {

// The kv head whose rows a pick head takes.
int64_t kv_head_of(const AttentionSettings& s, size_t list) {
  return static_cast<int64_t>(list) % s.pick_heads * s.kv_heads / s.pick_heads;
}

// [N · G]: 1 = picked, of another rank; 0 = not picked, -1 = of this rank.
std::vector<int32_t> mark_picked(const Layout& layout, int rank, const AttentionSettings& s,
                                 const std::vector<Layout::Block>& blocks, const std::vector<int64_t>& start,
                                 std::span<const int32_t> key) {
  std::vector<int32_t> mark(static_cast<size_t>(layout.num_tokens() * s.kv_heads), 0);
  for (const Run& run : layout.runs())
    if (run.rank == rank) std::fill_n(mark.begin() + run.begin * s.kv_heads, (run.end - run.begin) * s.kv_heads, -1);
  for (size_t list = 0; list + 1 < start.size(); ++list) {
    const Layout::Block& block = blocks[list / static_cast<size_t>(s.pick_heads)];
    const int64_t begin = layout.sequences()[static_cast<size_t>(block.sequence)].begin, head = kv_head_of(s, list);
    for (int64_t i = start[list]; i < start[list + 1]; ++i) {
      int32_t& place = mark[static_cast<size_t>((begin + key[static_cast<size_t>(i)]) * s.kv_heads + head)];
      if (place == 0) place = 1;
    }
  }
  return mark;
}

// Whether a global key is sampled by nobody else in the block: it lies in the block's domain.
bool in_domain(const kernels::ScanBlock& domain, int64_t position) {
  return position < domain.left_end || (position >= domain.right_begin && position < domain.right_end);
}

}  // namespace

Singles number_singles(const StepContext& context, const AttentionSettings& s, const std::vector<Layout::Block>& blocks,
                       const std::vector<int64_t>& start, std::span<const int32_t> key, Plan& plan) {
  const Layout& layout = context.layout;
  const int64_t kv_heads = s.kv_heads;
  Singles out;
  out.wanted.resize(static_cast<size_t>(layout.num_ranks()));
  plan.stats.picked_by_head.assign(static_cast<size_t>(kv_heads), 0);
  if (plan.own_rows == layout.num_tokens()) return out;  // every row is at hand
  int64_t* picked = plan.stats.picked_by_head.data();
  out.unit = mark_picked(layout, context.rank(), s, blocks, start, key);
  std::vector<int64_t> owned(static_cast<size_t>(layout.num_ranks()), 0);
  const auto for_remote = [&](auto body) {
    for (const Run& run : layout.runs())
      if (run.rank != context.rank())
        for (int64_t i = run.begin * kv_heads; i < run.end * kv_heads; ++i)
          if (out.unit[static_cast<size_t>(i)] != 0) body(run, i);
  };
  for_remote([&](const Run& run, int64_t i) {
    ++plan.stats.picked_remote, ++picked[i % kv_heads];
    if (plan.token_slot[static_cast<size_t>(i / kv_heads)] >= 0) return;
    ++owned[static_cast<size_t>(run.rank)];
  });
  int64_t next = plan.token_slots * plan.kv_heads;
  std::vector<int64_t> first(owned.size());
  for (size_t rank = 0; rank < owned.size(); ++rank) first[rank] = next, next += owned[rank];
  SB_CHECK(next < INT32_MAX, Config, "plan: ", next,
           " rows of keys and values on one rank, at most 2^31 - 1 may be; use more ranks or lower train.micro_tokens");
  for_remote([&](const Run& run, int64_t i) {
    if (plan.token_slot[static_cast<size_t>(i / kv_heads)] >= 0) return;
    const size_t owner = static_cast<size_t>(run.rank);
    out.unit[static_cast<size_t>(i)] = static_cast<int32_t>(first[owner]++);
    out.wanted[owner].push_back(i % kv_heads * layout.rank_tokens(run.rank) + run.local + i / kv_heads - run.begin);
  });
  return out;
}

PickRows place_picks(const Layout& layout, const AttentionSettings& s, const std::vector<Layout::Block>& blocks,
                     const std::vector<int64_t>& start, std::span<const int32_t> key, const Singles& singles,
                     const Plan& plan) {
  SB_CHECK(plan.token_slots * s.kv_heads < INT32_MAX, Config, "plan: ", plan.token_slots, " rows of ", s.kv_heads,
           " kv heads on one rank, together at most 2^31 - 1 may be; use more ranks or lower train.micro_tokens");
  PickRows out;
  const int64_t lists = static_cast<int64_t>(start.size()) - 1;
  const auto domain_of = [&](int64_t list) {
    const Layout::Block& block = blocks[static_cast<size_t>(list / s.pick_heads)];
    kernels::ScanBlock domain;
    set_domain(domain, s.visibility, s.window, block, layout.query_block(),
               layout.sequences()[static_cast<size_t>(block.sequence)].length);
    return domain;
  };
  out.start.assign(start.size(), 0);
#pragma omp parallel for
  for (int64_t list = 0; list < lists; ++list) {
    int64_t& size = out.start[static_cast<size_t>(list) + 1];
    size = start[static_cast<size_t>(list) + 1] - start[static_cast<size_t>(list)];
    if (s.global_positions.empty()) continue;
    const kernels::ScanBlock domain = domain_of(list);
    for (int64_t position : s.global_positions) size += in_domain(domain, position);
  }
  for (size_t i = 1; i < out.start.size(); ++i) out.start[i] += out.start[i - 1];
  const size_t size = static_cast<size_t>(out.start.back());
  out.unit.resize(size), out.token.resize(size), out.source.resize(size);
#pragma omp parallel for
  for (int64_t list = 0; list < lists; ++list) {
    const Layout::Block& block = blocks[static_cast<size_t>(list / s.pick_heads)];
    const int64_t first = layout.sequences()[static_cast<size_t>(block.sequence)].begin,
                  head = kv_head_of(s, static_cast<size_t>(list));
    size_t to = static_cast<size_t>(out.start[static_cast<size_t>(list)]);
    int64_t next = start[static_cast<size_t>(list)];
    const int64_t end = start[static_cast<size_t>(list) + 1];
    const auto add = [&](int64_t position, int64_t source) {
      const int64_t token = first + position;
      const int32_t slot = plan.token_slot[static_cast<size_t>(token)];
      out.unit[to] = slot >= 0 ? static_cast<int32_t>(head * plan.token_slots + slot)
                               : singles.unit[static_cast<size_t>(token * s.kv_heads + head)];
      out.token[to] = static_cast<int32_t>(token);
      out.source[to++] = source;
    };
    const auto add_drawn_before = [&](int64_t position) {
      for (; next < end && key[static_cast<size_t>(next)] < position; ++next) add(key[static_cast<size_t>(next)], next);
    };
    if (!s.global_positions.empty()) {
      const kernels::ScanBlock domain = domain_of(list);
      for (int64_t position : s.global_positions)
        if (in_domain(domain, position)) add_drawn_before(position), add(position, -1);
    }
    add_drawn_before(INT64_MAX);
  }
  return out;
}

uint64_t hash_picks(const std::vector<kernels::ScanBlock>& blocks, int pick_heads, int layer,
                    const std::vector<int64_t>& start, std::span<const int32_t> key) {
  const auto mixed = [](uint64_t x) {  // the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  };
  uint64_t sum = 0;
#pragma omp parallel for reduction(+ : sum)
  for (int64_t list = 0; list < static_cast<int64_t>(start.size()) - 1; ++list) {
    const kernels::ScanBlock& block = blocks[static_cast<size_t>(list / pick_heads)];
    const uint64_t head = static_cast<uint64_t>(list % pick_heads + int64_t{layer} * 65536);
    const uint64_t of = mixed(mixed(mixed(block.sample + 1) + static_cast<uint64_t>(block.index)) + head);
    for (int64_t i = start[static_cast<size_t>(list)]; i < start[static_cast<size_t>(list) + 1]; ++i)
      sum += mixed(of + static_cast<uint64_t>(key[static_cast<size_t>(i)]));
  }
  return sum;
}

}  // namespace smartbird
