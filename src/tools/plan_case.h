// What `smartbird plan` predicts for: the shape of the model and the streams of a step, without weights or ranks. Sizes,
// work and traffic are functions of this alone. Symbols: T rows of the fullest rank, N tokens of its stream, e bytes of an
// element, n parameters, P ranks of the sequence group.
#pragma once

#include <vector>

#include "config/options.h"
#include "data/corpus.h"
#include "data/layout.h"
#include "model/shape.h"

namespace smartbird {

struct PlanCase {
  ModelShape shape;
  int64_t ranks = 1, sequence_ranks = 1;  // everyone; P
  int query_block = 1;                    // b
  LayoutKind layout = LayoutKind::Contiguous;
  int64_t element_bytes = 4;  // e
  double counted = 1;         // share of rows with a target
  double probes = 0;          // R, expected probe blocks of a step
  double phi = 0;             // share of remote rows that a rank picks and does not have in a halo
  // Sequence lengths of every stream (micro-step of a replica) of a step.
  std::vector<std::vector<int64_t>> streams;

  [[nodiscard]] const std::vector<int64_t>& largest_stream() const;
  [[nodiscard]] int64_t step_tokens() const;
  [[nodiscard]] Layout layout_of(const std::vector<int64_t>& stream) const;
};

// Streams of the largest of the first steps, as training deals them; without a corpus, of whole sequences.
[[nodiscard]] PlanCase make_plan_case(const Options& options, int64_t ranks, const Corpus* corpus);

// Expected share of remote rows that any of a rank's blocks picks: 1 - exp(-c K / (P max(b, g))), c = 2 where rows share
// their numbers (g > b), else 1: a share group wants about twice one row's picks. Half of it where causal: that much of the
// remote rows a rank sees on average. For untrained, nearly uniform sketches.
[[nodiscard]] double expected_phi(const PlanCase& plan);

// Parameters of the model and of the sketch as model/parameters.h lays them out, each padded to 16 elements.
struct ParameterCounts {
  int64_t model = 0, sketch = 0;
  [[nodiscard]] int64_t all() const { return model + sketch; }
};
[[nodiscard]] ParameterCounts count_parameters(const ModelShape& shape);

// Pairs that attention and sketch touch in one forward pass of one layer (scan: of one sketch), over all streams and ranks.
struct PairCounts {
  int64_t tokens = 0, blocks = 0;
  double scan = 0;    // (block, key of E)
  double picks = 0;   // (row, expected pick)
  double listed = 0;  // (block, expected pick), one pick head
  double band = 0;    // (row, band key), sparse and window layers
  double dense = 0;   // (row, visible key), dense layers
  double probes = 0;  // (probe row, key that its block sees), expected
};
[[nodiscard]] PairCounts count_pairs(const PlanCase& plan);

}  // namespace smartbird
