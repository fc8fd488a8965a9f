// From sketch scores to a plan: bands, draw, requests.
#include "ops/plan.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/draw_needs.h"
#include "kernels/filled_scan.h"
#include "ops/choose_exchange.h"
#include "ops/device_draw.h"
#include "ops/device_tensors.h"
#include "ops/exact_picks.h"
#include "ops/head_exchange.h"
#include "ops/plan_parts.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

// By heads every row is here; slots go rank by rank, as keys and values arrive.
void add_rows_of_all(const Layout& layout, const AttentionSettings& s, Plan& plan) {
  plan.rows_by_rank.assign(layout.tokens_by_rank().begin(), layout.tokens_by_rank().end());
  plan.num_rows = plan.token_slots = layout.num_tokens();
  plan.heads = s.heads / layout.num_ranks(), plan.kv_heads = s.kv_heads / layout.num_ranks();
  plan.token_slot.assign(static_cast<size_t>(layout.num_tokens()), -1);
  add_bands(layout, s, all_blocks(layout), plan);
  int32_t slot = 0;
  std::vector<int64_t> in_stream;
  for (int rank = 0; rank < layout.num_ranks(); ++rank)
    for (int64_t token : layout.tokens_of(rank)) {
      plan.token_slot[static_cast<size_t>(token)] = slot++;
      in_stream.push_back(token);
    }
  if (std::is_sorted(in_stream.begin(), in_stream.end())) return;
  plan.place_in_stream = index_tensor(in_stream);
  plan.place_by_rank = index_tensor(std::vector<int64_t>(plan.token_slot.begin(), plan.token_slot.end()));
}

PhiloxKey draw_key(const StepContext& context, const AttentionSettings& s) {
  if (s.draw == kernels::DrawMode::BigBird) return philox_key(s.draw_seed, 0, Purpose::Draw);  // in all steps
  if (s.draw_seed == 0 || context.phase == Phase::Evaluate) return context.key(Purpose::Draw);
  return philox_key(s.draw_seed, static_cast<uint64_t>(context.step), Purpose::Draw);
}

template <class T>
kernels::Picks<T> draw_picks(const StepContext& context, const AttentionSettings& s, const SketchScores& scores,
                             std::span<const kernels::ScanBlock> blocks) {
  const int64_t width = scores.keys.size(1);
  const at::Tensor queries = scores.queries.contiguous(), keys = scores.keys.contiguous();
  const kernels::DrawOptions options{.mode = s.draw,
                                     .picks = s.picks,
                                     .floor = s.floor,
                                     .fill = s.fill,
                                     .heads = s.pick_heads,
                                     .layer = scores.layer,
                                     .key = draw_key(context, s)};
  if (on_device(keys)) {
    if constexpr (std::is_same_v<T, float>) {
      const auto timing = context.timer.measure("draw");  // and scan: the host does not wait between them
      return device_draw({queries, keys, scores.scale, scores.layer}, blocks, s.global_positions, options,
                         s.scan_budget_bytes);
    } else {
      fail(ErrorKind::Shape, "plan: on a GPU log π is float32");
    }
  }
  const int64_t block_bytes = 64 + s.pick_heads * (s.picks + 8) * static_cast<int64_t>(sizeof(int64_t) + sizeof(T));
  const size_t chunk = static_cast<size_t>(std::max<int64_t>(1, s.scan_budget_bytes / block_bytes));
  kernels::Picks<T> picks;
  std::vector<double> lse;
  for (size_t first = 0; first < blocks.size(); first += chunk) {
    const auto part = blocks.subspan(first, std::min(chunk, blocks.size() - first));
    const kernels::ScanInput<T> input{.queries = queries.const_data_ptr<T>() + static_cast<int64_t>(first) * width,
                                      .keys = keys.const_data_ptr<T>(),
                                      .width = width,
                                      .scale = static_cast<T>(scores.scale),
                                      .blocks = part,
                                      .excluded = s.global_positions};
    lse.resize(part.size());
    if (kernels::needs_probabilities(s.draw)) {
      const auto timing = context.timer.measure("scan");
      kernels::scan_for_draw<T>(input, options, lse.data());
    }
    const auto timing = context.timer.measure("draw");
    kernels::draw<T>(input, lse.data(), options, picks);
  }
  return picks;
}

// log π as subtracted from the scores of the placed picks; 0 for global keys.
template <class T>
at::Tensor corrections(const AttentionSettings& s, const RawVector<int64_t>& source, const RawVector<T>& log_pi) {
  at::Tensor out = at::empty({static_cast<int64_t>(source.size())}, at::CppTypeToScalarType<T>::value);
  const T smallest =
      s.min_inclusion > 0 ? static_cast<T>(std::log(s.min_inclusion)) : -std::numeric_limits<T>::infinity();
  T* to = out.template mutable_data_ptr<T>();
#pragma omp parallel for
  for (int64_t i = 0; i < static_cast<int64_t>(source.size()); ++i) {
    const int64_t from = source[static_cast<size_t>(i)];
    to[i] = from < 0 || !s.correction ? T{0} : std::max(log_pi[static_cast<size_t>(from)], smallest);
  }
  return out;
}

// The heads, rows and picks of a plan, as the kernels want them.
kernels::PickTiles tiles_of(const Plan& plan) {
  kernels::AttentionInput<float> in;
  in.rows = plan.num_rows, in.heads = plan.heads, in.kv_heads = plan.kv_heads, in.pick_heads = plan.pick_heads;
  in.num_tokens = static_cast<int64_t>(plan.token_slot.size());
  in.blocks = plan.num_blocks, in.row_block = plan.row_block.data();
  in.pick_start = plan.pick_start.data(), in.pick_unit = plan.pick_unit.data();
  in.pick_token = plan.pick_token.data();
  return kernels::unite_picks(in);
}

template <class T>
struct DealtPicks {
  AttentionSettings settings;  // of my share of the heads
  std::vector<Layout::Block> blocks;
  kernels::Picks<T> picks;
};

template <class T>
DealtPicks<T> deal_picks(const StepContext& context, const AttentionSettings& s, const kernels::Picks<T>& mine) {
  const Layout& layout = context.layout;
  DealtPicks<T> out{.settings = s, .blocks = {}, .picks = {}};
  for (int* heads : {&out.settings.heads, &out.settings.kv_heads, &out.settings.pick_heads})
    *heads /= layout.num_ranks();
  std::vector<int64_t> num_blocks, number;  // number: of each arriving block, in the stream
  for (int rank = 0; rank < layout.num_ranks(); ++rank) {
    const std::vector<Layout::Block> blocks = layout.blocks_of(rank);
    num_blocks.push_back(static_cast<int64_t>(blocks.size()));
    for (const Layout::Block& block : blocks) number.push_back(layout.blocks_before(block.sequence) + block.index);
  }
  out.blocks = all_blocks(layout);
  out.picks = deal_lists(context.group(), num_blocks, number, s.pick_heads, mine);
  return out;
}

// What this rank drew, for its own blocks.
template <class T>
struct Drawn {
  std::vector<Layout::Block> blocks;
  kernels::Picks<T> picks;
  uint64_t hash = 0;
  int64_t scan_pairs = 0;
};

template <class T>
Drawn<T> draw_mine(const StepContext& context, AttentionSettings s, const SketchScores& scores) {
  Drawn<T> out;
  if (s.pattern != Pattern::Sparse) return out;
  if (s.draw == kernels::DrawMode::BigBird) s.share_rows = context.layout.query_block();  // a pattern of the blocks
  out.blocks = context.layout.blocks_of(context.rank());
  const std::vector<kernels::ScanBlock> domains = scan_blocks(context.layout, s, out.blocks);
  for (const auto& domain : domains) out.scan_pairs += kernels::domain_size(domain, s.global_positions);
  if (s.draw == kernels::DrawMode::Oracle) {
    const auto timing = context.timer.measure("draw");
    out.picks = exact_picks<T>(context, s, out.blocks, domains, scores.queries, scores.keys);
  } else {
    out.picks = draw_picks<T>(context, s, scores, domains);
  }
  out.hash = hash_picks(domains, s.pick_heads, scores.layer, out.picks.start, out.picks.key);
  return out;
}

template <class T>
void add_picks(const StepContext& context, const AttentionSettings& s, Drawn<T> drawn, Plan& plan) {
  const std::vector<Layout::Block>& blocks = drawn.blocks;
  kernels::Picks<T>& picks = drawn.picks;
  plan.stats.scan_pairs = drawn.scan_pairs, plan.stats.picks_hash = drawn.hash;
  const Singles singles = number_singles(context, s, blocks, picks.start, picks.key, plan);
  std::optional<AskedRows> asked;  // on its way while the picks are placed and united
  if (s.exchange == ExchangePlan::Rows) asked.emplace(context.group(), "row_ids", singles.wanted);
  if (asked && !s.overlap) plan.rows = asked->finish();
  PickRows rows;
  if (plan.by_heads()) {
    const DealtPicks<T> dealt = deal_picks(context, s, picks);
    plan.pick_heads = dealt.settings.pick_heads;
    rows = place_picks(context.layout, dealt.settings, dealt.blocks, dealt.picks.start, dealt.picks.key, {}, plan);
    plan.pick_log_pi = corrections(s, rows.source, dealt.picks.log_pi);
  } else {
    plan.pick_heads = s.pick_heads;
    rows = place_picks(context.layout, s, blocks, picks.start, picks.key, singles, plan);
    plan.pick_log_pi = corrections(s, rows.source, picks.log_pi);
  }
  plan.pick_start = std::move(rows.start);
  plan.pick_unit = std::move(rows.unit);
  plan.pick_token = std::move(rows.token);
  plan.tiles = tiles_of(plan);
  if (asked && s.overlap) plan.rows = asked->finish();
  plan.drawn_heads = s.pick_heads;
  plan.drawn_start = std::move(picks.start);
  plan.drawn_key = std::move(picks.key);
}

template <class T>
Plan plan_of(const StepContext& context, AttentionSettings s, const SketchScores& scores) {
  const Layout& layout = context.layout;
  Drawn<T> drawn = draw_mine<T>(context, s, scores);
  if (s.pattern == Pattern::Window) s.exchange = ExchangePlan::Rows;  // the band is all there is to fetch
  if (s.exchange == ExchangePlan::Auto)
    s.exchange = cheapest_exchange(context, s, drawn.blocks, drawn.picks.start, drawn.picks.key);
  Plan plan;
  plan.num_rows = plan.own_rows = layout.rank_tokens(context.rank());
  plan.heads = s.heads, plan.kv_heads = plan.own_kv_heads = s.kv_heads;
  plan.exchange = s.exchange, plan.overlap = s.overlap;
  if (s.exchange == ExchangePlan::Heads && layout.num_ranks() > 1) {
    SB_CHECK(s.kv_heads % layout.num_ranks() == 0, Shape, "plan: ", s.kv_heads, " kv heads cannot be dealt to ",
             layout.num_ranks(), " ranks");
    add_rows_of_all(layout, s, plan);
  } else {
    add_bands(layout, s, layout.blocks_of(context.rank()), plan);
    add_known_rows(layout, context.rank(), s, plan);
  }
  plan.pick_log_pi = at::empty({0}, at::CppTypeToScalarType<T>::value);
  plan.rows.recv_rows.assign(static_cast<size_t>(layout.num_ranks()), 0);
  plan.rows.send_rows = plan.rows.recv_rows;
  plan.rows.send_index = at::empty({0}, at::kLong);
  if (plan.by_heads()) plan.halo = plan.globals = plan.rows;
  if (s.pattern == Pattern::Sparse) add_picks<T>(context, s, std::move(drawn), plan);
  plan.num_units = plan.token_slots * plan.kv_heads + plan.rows.num_received();
  if (s.pattern == Pattern::Sparse) plan.stats.remote = (layout.num_tokens() - plan.own_rows) * s.kv_heads;
  if (s.pattern != Pattern::Window) ++plan.stats.by_exchange[static_cast<size_t>(s.exchange)];
  plan.stats.fetched_rows = (plan.token_slots - plan.own_rows) * plan.kv_heads + plan.rows.num_received();
  plan.stats.sent_rows = plan.by_heads()
                             ? plan.own_rows * (s.kv_heads - plan.kv_heads)
                             : (plan.halo.num_sent() + plan.globals.num_sent()) * plan.kv_heads + plan.rows.num_sent();
  return plan;
}

}  // namespace

void PlanStats::add(const PlanStats& other) {
  picks_hash += other.picks_hash;
  picked_remote += other.picked_remote, remote += other.remote;
  fetched_rows += other.fetched_rows, sent_rows += other.sent_rows, scan_pairs += other.scan_pairs;
  for (size_t i = 0; i < by_exchange.size(); ++i) by_exchange[i] += other.by_exchange[i];
  picked_by_head.resize(std::max(picked_by_head.size(), other.picked_by_head.size()), 0);
  for (size_t i = 0; i < other.picked_by_head.size(); ++i) picked_by_head[i] += other.picked_by_head[i];
}

void check_positions(int64_t tokens) {
  SB_CHECK(tokens <= INT32_MAX, Config, "plan: ", tokens,
           " tokens share one stream, at most 2^31 - 1 may; lower train.micro_tokens or data.sequence_tokens");
}

Plan make_plan(const StepContext& context, const AttentionSettings& settings, const SketchScores& scores,
               const at::TensorOptions& options) {
  check_positions(context.layout.num_tokens());
  Plan plan = options.dtype() == at::kDouble ? plan_of<double>(context, settings, scores)
                                             : plan_of<float>(context, settings, scores);
  for (at::Tensor* index : {&plan.halo.send_index, &plan.globals.send_index, &plan.rows.send_index, &plan.place_by_rank,
                            &plan.place_in_stream})
    if (index->defined()) *index = index->to(options.device());
  return plan;
}

at::Tensor gather_keys(const StepContext& context, const at::Tensor& mine) {
  const Layout& layout = context.layout;
  const at::Tensor send = mine.detach().contiguous();
  at::Tensor by_rank = at::empty({layout.num_tokens(), send.size(1)}, send.options());
  std::vector<int64_t> counts;
  for (int64_t rows : layout.tokens_by_rank()) counts.push_back(rows * send.size(1));
  context.tensors().all_gather("sketch_keys", send.const_data_ptr(), by_rank.mutable_data_ptr(), counts,
                               dtype_of(send));
  std::vector<int64_t> place(static_cast<size_t>(layout.num_tokens()));
  int64_t next = 0;
  for (int rank = 0; rank < layout.num_ranks(); ++rank)
    for (int64_t token : layout.tokens_of(rank)) place[static_cast<size_t>(token)] = next++;
  return by_rank.index_select(0, index_tensor(place, send.device()));
}

}  // namespace smartbird
