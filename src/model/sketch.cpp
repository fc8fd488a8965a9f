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

// x [T, ...] followed by the rows of other ranks that lie `first` ... `last` away from one of mine.
struct Neighbourhood {
  at::Tensor rows;            // [T + halo, ...]
  std::vector<int64_t> slot;  // [N] stream position -> row, -1 = not here
};

Neighbourhood with_halo(const StepContext& context, const char* what, const at::Tensor& x, int64_t first,
                        int64_t last) {
  const Layout& layout = context.layout;
  const auto needed = [&](int rank) {
    std::vector<int64_t> tokens;
    for (const Run& run : layout.runs()) {
      if (run.rank != rank) continue;
      const int64_t left = std::max<int64_t>(0, run.begin + first),
                    right = std::min(layout.num_tokens(), run.end + last);
      for (int64_t token = left; token < run.begin; ++token) tokens.push_back(token);
      for (int64_t token = run.end; token < right; ++token) tokens.push_back(token);
    }
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    std::erase_if(tokens, [&](int64_t token) { return layout.owner(token) == rank; });
    return tokens;
  };
  const KnownRequests known = known_requests(layout, context.rank(), needed);
  Neighbourhood out;
  out.slot.assign(static_cast<size_t>(layout.num_tokens()), -1);
  int64_t next = 0;
  for (const Run& run : layout.runs())
    if (run.rank == context.rank())
      for (int64_t token = run.begin; token < run.end; ++token) out.slot[static_cast<size_t>(token)] = next++;
  for (int64_t token : known.tokens) out.slot[static_cast<size_t>(token)] = next++;
  const at::Tensor halo = fetch_rows(context.tensors(), what, x, known.requests);
  out.rows = at::cat({x, halo}, 0);
  return out;
}

// body(stream position of a block's first row, its block, its sequence) for my blocks in order.
template <class Body>
void for_blocks(const StepContext& context, Body body) {
  for (const Layout::Block& block : context.layout.blocks_of(context.rank())) {
    const Sequence& sequence = context.layout.sequences()[static_cast<size_t>(block.sequence)];
    body(sequence.begin + block.begin, block, sequence);
  }
}

// [T, taps] row of each neighbour `first`, `first` + 1, ... away, -1 outside the sequence.
at::Tensor tap_index(const StepContext& context, const Neighbourhood& near, int64_t first, int64_t taps) {
  at::Tensor index = at::empty({context.layout.rank_tokens(context.rank()), taps}, at::kLong);
  int64_t* to = index.mutable_data_ptr<int64_t>();
  for_blocks(context, [&](int64_t begin, const Layout::Block& block, const Sequence& sequence) {
    for (int64_t token = begin; token < begin + block.end - block.begin; ++token)
      for (int64_t wanted = token + first; wanted < token + first + taps; ++wanted) {
        const bool inside = wanted >= sequence.begin && wanted < sequence.begin + sequence.length;
        *to++ = inside ? near.slot[static_cast<size_t>(wanted)] : -1;
      }
  });
  return index.to(near.rows.device());
}

// One query a block: itself for b = 1; else the mean of rows (i0-b, i0] (causal) or of the block's rows.
at::Tensor block_queries(const StepContext& context, const ModelShape& shape, const at::Tensor& q) {
  const int64_t b = context.layout.query_block();
  if (b == 1) return q;
  const int64_t first = shape.attention.visibility.causal ? 1 - b : 0;
  const Neighbourhood near = with_halo(context, "query_halo", q, first, first + b - 1);
  std::vector<int64_t> start{0}, row;
  for_blocks(context, [&](int64_t begin, const Layout::Block&, const Sequence& sequence) {
    const int64_t end = std::min(begin + first + b, sequence.begin + sequence.length);
    for (int64_t token = std::max(sequence.begin, begin + first); token < end; ++token)
      row.push_back(near.slot[static_cast<size_t>(token)]);
    start.push_back(static_cast<int64_t>(row.size()));
  });
  return sketch_means(near.rows, index_tensor(start), index_tensor(row));
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
    parameters.add(name(s, "temperature"), {1}, 0, shape.sketch_temperature, false, true);
  }
}

SketchOutput run_sketch(const StepContext& context, const Parameters& parameters, const ModelShape& shape, int64_t s,
                        const at::Tensor& input, const at::Tensor& position) {
  at::Tensor x = sketch_linear(input.detach(), parameters.value(name(s, "in.weight")));
  x = sketch_norm(x, parameters.value(name(s, "norm.weight")), shape.norm_epsilon);
  if (shape.sketch_taps > 0) {
    const bool causal = shape.attention.visibility.causal;
    const int64_t first = causal ? 1 - shape.sketch_taps : -(shape.sketch_taps / 2);
    const Neighbourhood near = with_halo(context, "convolution_halo", x, first, first + shape.sketch_taps - 1);
    x = sketch_convolution(near.rows, tap_index(context, near, first, shape.sketch_taps),
                           parameters.value(name(s, "convolution.weight")));
  }
  x = sketch_rotary(x, position, shape.sketch_rotary_base);
  SketchOutput out;
  out.keys = sketch_linear(x, parameters.value(name(s, "k.weight")));
  out.queries = block_queries(context, shape, sketch_linear(x, parameters.value(name(s, "q.weight"))));
  out.temperature = parameters.value(name(s, "temperature"));
  return out;
}

}  // namespace smartbird
