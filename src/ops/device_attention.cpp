// Lists as tensors, tensors as the kernels' structs.
#include "ops/device_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention_device.h"
#include "kernels/pick_transpose.h"
#include "kernels/pick_unite.h"
#include "ops/device_tensors.h"

namespace smartbird {
namespace {

template <class Element>
kernels::DeviceAttentionInput<Element> device_input(const at::Tensor& q, const at::Tensor& units, const Plan& plan,
                                                    const DevicePlan& lists) {
  SB_CHECK(q.is_contiguous() && units.is_contiguous() && q.scalar_type() == units.scalar_type(), Shape,
           "attention on a GPU needs contiguous queries, keys and values of one type");
  kernels::DeviceAttentionInput<Element> in;
  in.rows = q.size(0), in.units = units.size(0);
  in.heads = plan.heads, in.kv_heads = plan.kv_heads, in.width = static_cast<int>(q.size(2));
  in.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(q.size(2))));
  in.q = data_of<Element>(q), in.kv = data_of<Element>(units);
  in.band_begin = data_of<int64_t>(lists.band_begin), in.band_end = data_of<int64_t>(lists.band_end);
  in.token_slot = data_of<int32_t>(lists.token_slot), in.slots = plan.token_slots;
  in.pick_heads = plan.pick_heads, in.row_block = data_of<int64_t>(lists.row_block);
  in.pick_start = data_of<int64_t>(lists.pick_start), in.pick_unit = data_of<int32_t>(lists.pick_unit);
  in.pick_log_pi = data_of<float>(lists.pick_log_pi);
  in.tile_start = data_of<int64_t>(lists.tile_start), in.tile_unit = data_of<int32_t>(lists.tile_unit);
  in.tile_bits = data_of<uint16_t>(lists.tile_bits);
  return in;
}

// Where a block's rows begin, and how many the largest has.
std::vector<int64_t> block_begins(const Plan& plan, int64_t& largest) {
  std::vector<int64_t> begin;
  for (int64_t row = 0; row < plan.num_rows; ++row)
    if (row == 0 || plan.row_block[static_cast<size_t>(row)] != plan.row_block[static_cast<size_t>(row - 1)])
      begin.push_back(row);
  begin.push_back(plan.num_rows);
  for (size_t i = 1; i < begin.size(); ++i) largest = std::max(largest, begin[i] - begin[i - 1]);
  return begin;
}

// For every slot the first row whose bound of the band, ascending, lies beyond its token.
std::vector<int64_t> rows_of_slots(const Plan& plan, const std::vector<int64_t>& bound) {
  std::vector<int64_t> out(static_cast<size_t>(plan.token_slots));
  for (size_t token = 0; token < plan.token_slot.size(); ++token)
    if (plan.token_slot[token] >= 0)
      out[static_cast<size_t>(plan.token_slot[token])] =
          std::upper_bound(bound.begin(), bound.end(), static_cast<int64_t>(token)) - bound.begin();
  return out;
}

// Keys that rows read one by one, and those of the band that tiles of rows read, for all pick heads.
struct KeysRead {
  int64_t row_by_row = 0, band_of_tiles = 0;
};
KeysRead keys_read(const Plan& plan) {
  KeysRead out;
  for (int64_t row = 0; row < plan.num_rows; ++row) {
    const size_t at = static_cast<size_t>(row), list = static_cast<size_t>(plan.row_block[at] * plan.pick_heads),
                 last = static_cast<size_t>(std::min(row + kernels::kUnitedRows, plan.num_rows) - 1);
    out.row_by_row += plan.pick_start[list + static_cast<size_t>(plan.pick_heads)] - plan.pick_start[list] +
                      (plan.band_end[at] - plan.band_begin[at]) * plan.pick_heads;
    if (row % kernels::kUnitedRows == 0) out.band_of_tiles += plan.band_end[last] - plan.band_begin[at];
  }
  out.band_of_tiles *= plan.pick_heads;
  return out;
}

// Where tiles have less to do than rows one by one: sixteen keys with sixteen rows take about half as many instructions
// again as with one. Waits for the GPU.
void unite_picks(const Plan& plan, const at::Tensor& pick_token, DevicePlan& out) {
  const kernels::DevicePickLists lists{plan.num_rows,
                                       plan.pick_heads,
                                       data_of<int64_t>(out.row_block),
                                       data_of<int64_t>(out.pick_start),
                                       data_of<int32_t>(pick_token),
                                       data_of<int32_t>(out.pick_unit)};
  const at::Tensor steps = at::empty({kernels::united_lists(plan.num_rows, plan.pick_heads)}, out.pick_start.options());
  kernels::count_united_steps(stream_of(steps), lists, data_of<int64_t>(steps));
  const int64_t keys = steps.sum().item<int64_t>() * kernels::kUnitedKeys;
  const KeysRead read = keys_read(plan);
  if (3 * (keys + read.band_of_tiles) > 2 * read.row_by_row || keys > INT32_MAX) return;
  out.tile_start = at::cat({at::zeros({1}, steps.options()), steps.cumsum(0)});
  out.tile_unit = at::empty({keys}, out.pick_unit.options());
  out.tile_bits = at::empty({keys}, out.pick_unit.options().dtype(at::kShort));
  kernels::pick_unite(stream_of(steps), lists, data_of<int64_t>(out.tile_start), data_of<int32_t>(out.tile_unit),
                      data_of<uint16_t>(out.tile_bits));
}

}  // namespace

DevicePlan to_device(const Plan& plan, const at::TensorOptions& queries) {
  const at::Device device = queries.device();
  DevicePlan out;
  std::vector<int32_t> pick_list(plan.pick_unit.size());
  for (size_t list = 0; list + 1 < plan.pick_start.size(); ++list)
    std::fill(pick_list.begin() + plan.pick_start[list], pick_list.begin() + plan.pick_start[list + 1],
              static_cast<int32_t>(list));
  const auto to = [&](const auto& values) { return copied_to(std::span(values.data(), values.size()), device); };
  out.band_begin = to(plan.band_begin), out.band_end = to(plan.band_end), out.row_block = to(plan.row_block);
  out.token_slot = to(plan.token_slot);
  out.slot_begin = to(rows_of_slots(plan, plan.band_end)), out.slot_end = to(rows_of_slots(plan, plan.band_begin));
  out.block_begin = to(block_begins(plan, out.block_rows));
  out.pick_start = to(plan.pick_start), out.pick_unit = to(plan.pick_unit);
  if (plan.pick_heads == 0) return out;
  out.pick_log_pi = plan.pick_log_pi.to(at::TensorOptions(at::kFloat).device(device));
  const int64_t picks = out.pick_unit.size(0);
  const at::Tensor pick_list_there = to(pick_list);
  out.start = at::empty({plan.num_units + 1}, out.pick_start.options());
  out.list = at::empty_like(pick_list_there), out.log_pi = at::empty_like(out.pick_log_pi);
  const at::Tensor memory = at::empty({kernels::pick_transpose_bytes(picks)}, out.list.options().dtype(at::kByte));
  kernels::pick_transpose(
      stream_of(out.list), picks, plan.num_units,
      {data_of<int32_t>(out.pick_unit), data_of<int32_t>(pick_list_there), data_of<float>(out.pick_log_pi)},
      memory.mutable_data_ptr(), {data_of<int64_t>(out.start), data_of<int32_t>(out.list), data_of<float>(out.log_pi)});
  if (queries.dtype() == at::kBFloat16) unite_picks(plan, to(plan.pick_token), out);
  return out;
}

const DevicePlan& device_lists(const Plan& plan, const at::TensorOptions& queries) {
  if (!plan.on_device) plan.on_device = std::make_shared<const DevicePlan>(to_device(plan, queries));
  const at::Device there = plan.on_device->band_begin.device(), device = queries.device();
  SB_CHECK(there == device, Shape, "attention: the plan's lists lie on ", there.str(), ", the queries on ",
           device.str());
  return *plan.on_device;
}

DeviceAttended device_attention(const at::Tensor& q, const at::Tensor& units, const Plan& plan,
                                const DevicePlan& lists) {
  DeviceAttended out{at::empty_like(q), at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat))};
  with_element("attention", q, [&](auto t) {
    using Element = decltype(t);
    kernels::attention_forward<Element>(stream_of(q), device_input<Element>(q, units, plan, lists),
                                        data_of<Element>(out.o), data_of<float>(out.lse));
  });
  return out;
}

DeviceAttentionGrads device_attention_gradient(const at::Tensor& q, const at::Tensor& units, const DeviceAttended& out,
                                               const at::Tensor& grad_o, const Plan& plan, const DevicePlan& lists) {
  const at::Tensor grad = grad_o.contiguous(), sums = at::empty({q.size(0), q.size(1), 2}, out.lse.options());
  DeviceAttentionGrads grads{at::empty_like(q), at::empty_like(units)};
  const int64_t picks = plan.pick_heads == 0 ? 0 : lists.pick_unit.size(0);
  const at::Tensor tails = at::empty({kernels::attention_tails(picks), 2 * q.size(2)}, sums.options());
  at::Tensor band;
  if (q.scalar_type() == at::kBFloat16 && plan.pick_heads > 0)
    band = at::empty({plan.token_slots * plan.kv_heads, 2 * q.size(2)}, sums.options());
  with_element("attention", q, [&](auto t) {
    using Element = decltype(t);
    const auto in = device_input<Element>(q, units, plan, lists);
    kernels::attention_backward_q<Element>(stream_of(q), in, data_of<Element>(out.o), data_of<float>(out.lse),
                                           data_of<Element>(grad), data_of<Element>(grads.q), data_of<float>(sums));
    kernels::DeviceKeyLists by_key{.slot_begin = data_of<int64_t>(lists.slot_begin),
                                   .slot_end = data_of<int64_t>(lists.slot_end),
                                   .block_begin = data_of<int64_t>(lists.block_begin),
                                   .block_rows = lists.block_rows,
                                   .picks = picks,
                                   .tails = data_of<float>(tails),
                                   .band = data_of<float>(band)};
    if (plan.pick_heads > 0) {
      by_key.start = data_of<int64_t>(lists.start);
      by_key.list = data_of<int32_t>(lists.list), by_key.log_pi = data_of<float>(lists.log_pi);
    }
    kernels::attention_backward_kv<Element>(stream_of(q), in, by_key, data_of<Element>(grad), data_of<float>(sums),
                                            data_of<Element>(grads.units));
  });
  return grads;
}

}  // namespace smartbird
