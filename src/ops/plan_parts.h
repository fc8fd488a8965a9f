// The pieces of a plan, each a pure function of layout, settings and picks: bands, halos, domains, units of picks, hash.
#pragma once

#include <vector>

#include "ops/plan.h"

namespace smartbird {

// Rows' bands and blocks.
void add_bands(const Layout& layout, const AttentionSettings& settings, int rank, Plan& plan);
// Stream positions, ascending, that a rank does not hold: those in its rows' bands; global keys of its sequences; all.
[[nodiscard]] std::vector<int64_t> band_halo(const Layout& layout, const AttentionSettings& settings, int rank);
[[nodiscard]] std::vector<int64_t> global_halo(const Layout& layout, const AttentionSettings& settings, int rank);
[[nodiscard]] std::vector<int64_t> foreign_tokens(const Layout& layout, int rank);

[[nodiscard]] std::vector<kernels::ScanBlock> scan_blocks(const Layout& layout, const AttentionSettings& settings,
                                                          const std::vector<Layout::Block>& blocks);

// Picks as units. wanted[r]: local units (head · its rows + row) to ask of rank r, each once. source[i]: index of entry i among
// the drawn picks, -1 for a global key.
struct PickRows {
  std::vector<int64_t> start;
  RawVector<int32_t> unit, token;
  RawVector<int64_t> source;
  std::vector<std::vector<int64_t>> wanted;
};
[[nodiscard]] PickRows place_picks(const StepContext& context, const AttentionSettings& settings,
                                   const std::vector<Layout::Block>& blocks, const std::vector<int64_t>& start,
                                   std::span<const int32_t> key, Plan& plan);

[[nodiscard]] uint64_t hash_picks(const std::vector<kernels::ScanBlock>& blocks, int pick_heads, int layer,
                                  const std::vector<int64_t>& start, std::span<const int32_t> key);

}  // namespace smartbird
