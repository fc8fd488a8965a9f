// The pieces of a plan, each a pure function of layout, settings and picks: bands, halos, domains, units of picks, hash.
#pragma once

#include <vector>

#include "ops/plan.h"

namespace smartbird {

// Query blocks of all ranks in stream order.
[[nodiscard]] std::vector<Layout::Block> all_blocks(const Layout& layout);
// Slots for the rows that every rank can work out without asking: the band's halo (or everything) and the global keys.
void add_known_rows(const Layout& layout, int rank, const AttentionSettings& settings, Plan& plan);
// Bands and blocks of the rows of `blocks`.
void add_bands(const Layout& layout, const AttentionSettings& settings, const std::vector<Layout::Block>& blocks,
               Plan& plan);
// Stream positions, ascending, that a rank does not hold: those in its rows' bands; global keys of its sequences; all.
[[nodiscard]] std::vector<int64_t> band_halo(const Layout& layout, const AttentionSettings& settings, int rank);
[[nodiscard]] std::vector<int64_t> global_halo(const Layout& layout, const AttentionSettings& settings, int rank);
[[nodiscard]] std::vector<int64_t> foreign_tokens(const Layout& layout, int rank);

[[nodiscard]] std::vector<kernels::ScanBlock> scan_blocks(const Layout& layout, const AttentionSettings& settings,
                                                          const std::vector<Layout::Block>& blocks);

// Picked rows of other ranks that have no slot, as units behind the slots, by owner. unit [N · G]: those numbers. wanted[r]:
// local units (head · its rows + row) to ask of rank r, each once. Counts what is picked of other ranks in plan.stats.
struct Singles {
  std::vector<int32_t> unit;
  std::vector<std::vector<int64_t>> wanted;
};
[[nodiscard]] Singles number_singles(const StepContext& context, const AttentionSettings& settings,
                                     const std::vector<Layout::Block>& blocks, const std::vector<int64_t>& start,
                                     std::span<const int32_t> key, Plan& plan);

// Picks and global keys as units. source[i]: index of entry i among the drawn picks, -1 for a global key.
struct PickRows {
  std::vector<int64_t> start;
  RawVector<int32_t> unit, token;
  RawVector<int64_t> source;
};
[[nodiscard]] PickRows place_picks(const Layout& layout, const AttentionSettings& settings,
                                   const std::vector<Layout::Block>& blocks, const std::vector<int64_t>& start,
                                   std::span<const int32_t> key, const Singles& singles, const Plan& plan);

[[nodiscard]] uint64_t hash_picks(const std::vector<kernels::ScanBlock>& blocks, int pick_heads, int layer,
                                  const std::vector<int64_t>& start, std::span<const int32_t> key);

}  // namespace smartbird
