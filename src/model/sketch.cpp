// Sketch parameters and forward.
#include "model/sketch.h"

#include <cmath>
#include <string>

#include "ops/exchange.h"
#include "ops/sketch_rows.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

std::string name(int64_t sketch, const char* what) { return "sketch." + std::to_string(sketch) + "." + what; }

// x [T, ...] with the rows `offsets` away (inside the sequence) that other ranks hold, and for each row the index of
// each of its neighbours, -1 outside the sequence.
struct Neighbours {
  at::Tensor rows;   // [T + halo, ...]
  at::Tensor index;  // [T, offsets] int64
};

Neighbours with_neighbours(const StepContext& context, const char* what, const at::Tensor& x, int64_t first_offset,
                           int64_t offsets) {
  const Layout& layout = context.layout;
  const auto needed = [&](int rank) {
    std::vector<int64_t> tokens;
    for (const Run& run : layout.runs()) {
      if (run.rank != rank) continue;
      const int64_t left = std::max<int64_t>(0, run.begin + first_offset),
                    right = std::min(layout.num_tokens(), run.end + first_offset + offsets - 1);
      for (int64_t token = left; token < run.begin; ++token) tokens.push_back(token);
      for (int64_t token = run.end; token < right; ++token) tokens.push_back(token);
    }
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    std::erase_if(tokens, [&](int64_t token) { return layout.owner(token) == rank; });
    return tokens;
  };
  const KnownRequests known = known_requests(layout, context.rank(), needed);
  std::vector<int64_t> slot(static_cast<size_t>(layout.num_tokens()), -1);
  int64_t next = 0;
  const std::vector<int64_t> mine = layout.tokens_of(context.rank());
  for (int64_t token : mine) slot[static_cast<size_t>(token)] = next++;
  for (int64_t token : known.tokens) slot[static_cast<size_t>(token)] = next++;
  std::vector<int64_t> index;
  for (int64_t token : mine) {
    const Sequence& sequence = layout.sequences()[static_cast<size_t>(layout.sequence_of(token))];
    for (int64_t t = 0; t < offsets; ++t) {
      const int64_t wanted = token + first_offset + t;
      const bool inside = wanted >= sequence.begin && wanted < sequence.begin + sequence.length;
      index.push_back(inside ? slot[static_cast<size_t>(wanted)] : -1);
    }
  }
  return {at::cat({x, fetch_rows(context.group(), what, x, known.requests)}, 0),
          index_tensor(index).view({static_cast<int64_t>(mine.size()), offsets})};
}

// One query a block: itself for b = 1; else the mean of rows (i0-b, i0] (causal) or of the block's rows.
at::Tensor block_queries(const StepContext& context, const ModelShape& shape, const at::Tensor& q) {
  const Layout& layout = context.layout;
  const int64_t b = layout.query_block();
  if (b == 1) return q;
  const bool causal = shape.attention.visibility.causal;
  std::vector<int64_t> first_row;
  int64_t row = 0;
  for (const Layout::Block& block : layout.blocks_of(context.rank())) {
    first_row.push_back(row);
    row += block.end - block.begin;
  }
  const Neighbours near = with_neighbours(context, "query_halo", q, causal ? 1 - b : 0, b);
  const at::Tensor index = near.index.index_select(0, index_tensor(first_row));  // [Q, b]
  const at::Tensor count = (index >= 0).sum(1).to(q.scalar_type()).unsqueeze(1);
  at::Tensor sum = at::zeros({index.size(0), q.size(1)}, q.options());
  for (int64_t t = 0; t < b; ++t) {
    const at::Tensor at_t = index.select(1, t);
    sum = sum + near.rows.index_select(0, at_t.clamp_min(0)) * (at_t >= 0).to(q.scalar_type()).unsqueeze(1);
  }
  return sum / count;
}

}  // namespace

void declare_sketches(Parameters& parameters, const ModelShape& shape) {
  const int64_t inner = shape.sketch_inner, width = shape.sketch_width;
  const double in_scale = 1 / std::sqrt(static_cast<double>(shape.width)),
               out_scale = 1 / std::sqrt(static_cast<double>(inner));
  for (int64_t s = 0; s < shape.num_sketches(); ++s) {
    parameters.add(name(s, "in.weight"), {inner, shape.width}, in_scale, 0, true, true);
    parameters.add(name(s, "norm.weight"), {inner}, 0, 1, false, true);
    if (shape.sketch_taps > 0)
      parameters.add(name(s, "convolution.weight"), {shape.sketch_taps, inner}, 0.5, 0, true, true);
    parameters.add(name(s, "q.weight"), {width, inner}, out_scale, 0, true, true);
    parameters.add(name(s, "k.weight"), {width, inner}, out_scale, 0, true, true);
    parameters.add(name(s, "temperature"), {1}, 0, 1, false, true);
  }
}

SketchOutput run_sketch(const StepContext& context, const Parameters& parameters, const ModelShape& shape, int64_t s,
                        const at::Tensor& input, const at::Tensor& position) {
  at::Tensor x = sketch_linear(input.detach(), parameters.value(name(s, "in.weight")));
  x = sketch_norm(x, parameters.value(name(s, "norm.weight")), shape.norm_epsilon);
  if (shape.sketch_taps > 0) {
    const bool causal = shape.attention.visibility.causal;
    const int64_t first = causal ? 1 - shape.sketch_taps : -(shape.sketch_taps / 2);
    const Neighbours near = with_neighbours(context, "convolution_halo", x, first, shape.sketch_taps);
    x = sketch_convolution(near.rows, near.index, parameters.value(name(s, "convolution.weight")));
  }
  x = sketch_rotary(x, position, 10000.0);
  SketchOutput out;
  out.keys = sketch_linear(x, parameters.value(name(s, "k.weight")));
  out.queries = block_queries(context, shape, sketch_linear(x, parameters.value(name(s, "q.weight"))));
  out.temperature = parameters.value(name(s, "temperature"));
  return out;
}

}  // namespace smartbird
