// The plan: which keys each row attends and how rows of other ranks get here. Integers and the constants log π; all that
// follows is a pure function of tensors and the plan. How rows travel (ExchangePlan) changes no result beyond rounding.
// Token slots: this rank's T rows, then band halo, then global keys; unit = kv head · slots + slot; picked rows of other
// ranks that have no slot follow as single units.
#pragma once

#include <ATen/ATen.h>

#include <array>
#include <memory>
#include <vector>

#include "kernels/draw.h"
#include "kernels/pick_tiles.h"
#include "ops/domains.h"
#include "ops/exchange.h"
#include "ops/exchange_cost.h"
#include "ops/step_context.h"

namespace smartbird {

// Rows: the picked ones; band and global keys, which every rank can work out, travel apart. All: every row of other ranks.
// Heads: queries, keys and values change from all heads of my rows to my share of the kv heads for all rows, and outputs
// change back (the head all-to-all of DeepSpeed-Ulysses, arXiv 2309.14509); P must divide G. Window layers fetch their band
// whatever the plan.
// Auto: the cheapest of them for these picks (ops/choose_exchange.h); a plan that was made never says Auto.
enum class ExchangePlan { Rows, All, Heads, Auto };
inline constexpr std::array<const char*, 3> kExchangePlanNames{"rows", "all", "heads"};

struct AttentionSettings {
  Pattern pattern = Pattern::Sparse;
  Visibility visibility;
  int64_t window = 0;      // W
  int64_t picks = 0;       // K
  int64_t share_rows = 0;  // g; 0 = the whole sequence
  kernels::DrawMode draw = kernels::DrawMode::Poisson;
  uint64_t draw_seed = 0;  // of training; 0 = the context's
  double floor = 0.1;      // ε
  bool fill = false;       // kernels/filled_scan.h
  int heads = 1, kv_heads = 1, pick_heads = 1;
  bool correction = true;
  double min_inclusion = 0;               // π_min
  std::vector<int64_t> global_positions;  // ascending, unique
  int64_t scan_budget_bytes = 64 << 20;
  ExchangePlan exchange = ExchangePlan::Rows;
  ExchangeUse use;      // what Auto counts with
  bool overlap = true;  // rows travel while the band is computed
};

struct PlanStats {
  uint64_t picks_hash = 0;  // order-free hash of (sample, block, head, key) of my picks
  int64_t picked_remote = 0,
          remote = 0;  // (row, kv head) pairs of other ranks, sparse plans: picked by any of my blocks; all of them
  int64_t fetched_rows = 0, sent_rows = 0;                       // (row, kv head) pairs that travel to me, and from me
  int64_t scan_pairs = 0;                                        // Σ |E| over my blocks
  std::array<int64_t, kExchangePlanNames.size()> by_exchange{};  // plans of each kind; windows have none
  std::vector<int64_t> picked_by_head;                           // [draws · G]: picked_remote

  void add(const PlanStats& other);
};

struct DevicePlan;

// What the attention of this rank computes: its rows with all heads, or, by heads, all rows in stream order with its heads.
struct Plan {
  int64_t num_rows = 0, num_blocks = 0, token_slots = 0, num_units = 0;
  int heads = 1, kv_heads = 1, pick_heads = 0;
  int64_t own_rows = 0;               // T
  int own_kv_heads = 1;               // G
  std::vector<int64_t> rows_by_rank;  // [P] rows of every rank; empty where heads do not travel
  // [N] By heads, the place of a row in the order rank by rank, and back; undefined where that is the stream's order.
  at::Tensor place_by_rank, place_in_stream;
  std::vector<int64_t> band_begin, band_end, row_block;  // [T]; bands are stream positions
  std::vector<int32_t> token_slot;                       // [N]
  std::vector<int64_t> pick_start;                       // CSR over (block, pick head)
  RawVector<int32_t> pick_unit, pick_token;              // of each pick: unit, stream position, ascending in a list
  kernels::PickTiles tiles;
  at::Tensor pick_log_pi;  // as subtracted from scores
  Requests halo, globals, rows;
  ExchangePlan exchange = ExchangePlan::Rows;
  bool overlap = true;
  int drawn_heads = 0;
  std::vector<int64_t> drawn_start;
  RawVector<int32_t> drawn_key;  // the draw alone: positions in the sequence
  PlanStats stats;
  mutable std::shared_ptr<const DevicePlan> on_device;  // ops/device_attention.h

  [[nodiscard]] bool by_heads() const { return !rows_by_rank.empty(); }
};

// The sketch's side of a draw: block queries [Q, M], keys of all tokens [N, M] in stream order, τ / sqrt(M). Of an oracle: a layer's
// own queries [T, H, D] and keys [N, G, D] with rotary positions.
struct SketchScores {
  at::Tensor queries, keys;
  double scale = 1;
  int layer = 0;  // number of the draw, for the random numbers
};

// Positions in a stream are 32 bits wide: ErrorKind::Config for more tokens than they count.
void check_positions(int64_t tokens);

// Collective. scores is used by Pattern::Sparse only. options: element type of log π, and the device of the tensors that the
// plan will serve, where the indices of rows that travel will lie.
[[nodiscard]] Plan make_plan(const StepContext& context, const AttentionSettings& settings, const SketchScores& scores,
                             const at::TensorOptions& options);

// Sketch keys of all ranks in stream order [N, M] from mine [T, M]; no gradient.
[[nodiscard]] at::Tensor gather_keys(const StepContext& context, const at::Tensor& mine);

}  // namespace smartbird
