// Runs of equal blocks of one sequence: scores, softmax, the largest.
#include "ops/exact_picks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/score_panel.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

// Blocks [first, last) have `rows` rows each and lie in one sequence.
struct BlockRun {
  size_t first = 0, last = 0;
  int64_t first_row = 0, rows = 0;  // my row of the first block, rows of each
};

std::vector<BlockRun> runs_of(const std::vector<Layout::Block>& blocks, const Layout& layout,
                              const AttentionSettings& s) {
  std::vector<BlockRun> out;
  int64_t row = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Layout::Block& block = blocks[i];
    const int64_t rows = block.end - block.begin,
                  row_bytes = s.heads * layout.sequences()[static_cast<size_t>(block.sequence)].length * 8,
                  most = std::max<int64_t>(1, s.scan_budget_bytes / (rows * row_bytes));
    const bool same = !out.empty() && out.back().rows == rows && blocks[out.back().first].sequence == block.sequence &&
                      static_cast<int64_t>(i - out.back().first) < most;
    if (!same) out.push_back({i, i, row, rows});
    out.back().last = i + 1;
    row += rows;
  }
  return out;
}

// [blocks, n] bool: in the domain.
at::Tensor in_domain(std::span<const kernels::ScanBlock> domains, std::span<const int64_t> excluded, int64_t length) {
  at::Tensor out = at::zeros({static_cast<int64_t>(domains.size()), length}, at::kBool);
  bool* row = out.mutable_data_ptr<bool>();
  for (const kernels::ScanBlock& domain : domains) {
    kernels::for_domain(domain, excluded, [&](int64_t position) { row[position] = true; });
    row += length;
  }
  return out;
}

// [G, blocks · rows · H/G, n]: the exact attention of a run's rows over their sequence.
at::Tensor attention_of(const BlockRun& run, const std::vector<Layout::Block>& blocks, const AttentionSettings& s,
                        const at::Tensor& q, const at::Tensor& keys) {
  const int64_t rows = static_cast<int64_t>(run.last - run.first) * run.rows, length = keys.size(0), g = s.kv_heads,
                per = s.heads / g, width = q.size(2);
  std::vector<int64_t> end;
  for (size_t i = run.first; i < run.last; ++i)
    for (int64_t row = blocks[i].begin; row < blocks[i].end; ++row)
      end.insert(end.end(), static_cast<size_t>(per), s.visibility.end(row, length));
  const at::Tensor
      mine =
          q.narrow(0, run.first_row, rows).view({rows, g, per, width}).transpose(0, 1).reshape({g, rows * per, width}),
      hidden = at::arange(length, at::TensorOptions(at::kLong).device(q.device())).unsqueeze(0) >=
               index_tensor(end, q.device()).unsqueeze(1);
  const at::Tensor scores = at::bmm(mine, keys.permute({1, 2, 0})) / std::sqrt(static_cast<double>(width));
  return at::softmax(scores.masked_fill(hidden, -std::numeric_limits<double>::infinity()), 2);
}

}  // namespace

template <class T>
kernels::Picks<T> exact_picks(const StepContext& context, const AttentionSettings& s,
                              const std::vector<Layout::Block>& blocks, const std::vector<kernels::ScanBlock>& domains,
                              const at::Tensor& q, const at::Tensor& keys) {
  const Layout& layout = context.layout;
  kernels::Picks<T> out;
  for (const BlockRun& run : runs_of(blocks, layout, s)) {
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(blocks[run.first].sequence)];
    const int64_t count = static_cast<int64_t>(run.last - run.first), per = s.heads / s.kv_heads;
    const auto mine = std::span(domains).subspan(run.first, static_cast<size_t>(count));
    const at::Tensor attention = attention_of(run, blocks, s, q, keys.narrow(0, sequence.begin, sequence.length))
                                     .view({s.kv_heads, count, run.rows, per, sequence.length});
    // Causal: of a block's first row, since a later one would leak what it sees into the picks of the others.
    const at::Tensor of_blocks = s.visibility.causal ? attention.select(2, 0) : attention.sum(2);
    const at::Tensor mass =
        (s.pick_heads == s.kv_heads ? of_blocks.sum(2)
                                    : of_blocks.permute({0, 2, 1, 3}).reshape({s.heads, count, sequence.length}))
            .masked_fill(in_domain(mine, s.global_positions, sequence.length).to(q.device()).logical_not().unsqueeze(0),
                         -1);  // [pick heads, blocks, n]
    const int64_t most = std::min(s.picks, sequence.length);
    const at::Tensor found = std::get<1>(at::topk(mass, most, 2)).permute({1, 0, 2}).contiguous().cpu();
    const int64_t* key = found.const_data_ptr<int64_t>();
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const int64_t taken = std::min(most, kernels::domain_size(mine[i], s.global_positions));
      for (int h = 0; h < s.pick_heads; ++h, key += most) {
        std::vector<int64_t> list(key, key + taken);
        std::sort(list.begin(), list.end());
        for (const int64_t position : list) out.key.push_back(static_cast<int32_t>(position)), out.log_pi.push_back(0);
        out.start.push_back(static_cast<int64_t>(out.key.size()));
      }
    }
  }
  return out;
}

template kernels::Picks<float> exact_picks(const StepContext&, const AttentionSettings&,
                                           const std::vector<Layout::Block>&, const std::vector<kernels::ScanBlock>&,
                                           const at::Tensor&, const at::Tensor&);
template kernels::Picks<double> exact_picks(const StepContext&, const AttentionSettings&,
                                            const std::vector<Layout::Block>&, const std::vector<kernels::ScanBlock>&,
                                            const at::Tensor&, const at::Tensor&);

}  // namespace smartbird
