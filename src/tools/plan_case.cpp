// From options and data to the streams of a step and what they hold.
#include "tools/plan_case.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "config/rules.h"
#include "core/error.h"
#include "data/sampler.h"
#include "data/text_source.h"
#include "model/heads.h"
#include "ops/domains.h"
#include "ops/plan.h"

namespace smartbird {
namespace {

constexpr int64_t kStepsLookedAt = 64;

int64_t sum(const std::vector<int64_t>& values) { return std::accumulate(values.begin(), values.end(), int64_t{0}); }

int64_t tokens_of(const std::vector<Sample>& samples) {
  return std::accumulate(samples.begin(), samples.end(), int64_t{0},
                         [](int64_t total, const Sample& sample) { return total + sample.length; });
}

// Whole sequences, as many as a step has room for, at least one.
std::vector<Sample> whole_sequences(const Options& o) {
  const int64_t length = o.data.sequence_tokens, count = std::max<int64_t>(1, o.train.batch_tokens / length);
  std::vector<Sample> out;
  for (int64_t i = 0; i < count; ++i) out.push_back({.number = i, .length = length});
  return out;
}

std::vector<Sample> largest_batch(const Options& o, const Corpus& corpus) {
  const Sampler sampler(corpus, {.seed = static_cast<uint64_t>(o.run.seed),
                                 .sequence_tokens = o.data.sequence_tokens,
                                 .cut_documents = o.data.task != "classify",
                                 .fixed = false});
  std::vector<Sample> largest;
  int64_t next = 0;
  for (int64_t step = 0; step < std::max<int64_t>(1, std::min(kStepsLookedAt, o.train.steps)); ++step) {
    std::vector<Sample> batch = sampler.batch(next, o.train.batch_tokens);
    next += static_cast<int64_t>(batch.size());
    if (tokens_of(batch) > tokens_of(largest)) largest = std::move(batch);
  }
  return largest;
}

// Of rows that are to predict the token behind them, which may lie beyond the sequence's end.
double share_counted(const Options& o, const Corpus& corpus, const std::vector<Sample>& samples) {
  int64_t counted = 0;
  std::vector<uint8_t> counts;
  for (const Sample& sample : samples) {
    const int64_t known = std::min(sample.length + 1, corpus.document(sample.document).num_tokens - sample.begin);
    counts.assign(static_cast<size_t>(known), 0);
    corpus.read_target_mask(sample.document, sample.begin, counts);
    const int64_t first = std::min(std::max<int64_t>(1, o.data.prefix_tokens), known);
    counted += std::count(counts.begin() + first, counts.end(), 1);
  }
  return static_cast<double>(counted) / static_cast<double>(std::max<int64_t>(1, tokens_of(samples)));
}

}  // namespace

const std::vector<int64_t>& PlanCase::largest_stream() const {
  return *std::max_element(streams.begin(), streams.end(),
                           [](const auto& a, const auto& b) { return sum(a) < sum(b); });
}

int64_t PlanCase::step_tokens() const {
  int64_t total = 0;
  for (const auto& stream : streams) total += sum(stream);
  return total;
}

Layout PlanCase::layout_of(const std::vector<int64_t>& stream) const {
  std::vector<Sequence> sequences;
  int64_t begin = 0;
  for (int64_t length : stream) {
    sequences.push_back({sequences.size(), begin, length});
    begin += length;
  }
  return Layout(std::move(sequences), query_block, static_cast<int>(sequence_ranks), layout);
}

PlanCase make_plan_case(const Options& o, int64_t ranks, const Corpus* corpus) {
  PlanCase plan;
  plan.shape = make_shape(
      o, corpus != nullptr ? corpus->tokenizer().vocabulary() : make_text_tokenizer("plan", o.data)->vocabulary(),
      corpus != nullptr ? static_cast<int64_t>(corpus->classes().size()) : 0);
  plan.ranks = ranks;
  plan.sequence_ranks = o.parallel.sequence_ranks > 0 ? o.parallel.sequence_ranks : ranks;
  plan.query_block = static_cast<int>(o.attention.query_block);
  plan.layout = o.parallel.layout == "zigzag" ? LayoutKind::Zigzag : LayoutKind::Contiguous;
  plan.element_bytes = o.run.dtype == "float64" ? 8 : 4;
  const std::vector<Sample> batch = corpus != nullptr ? largest_batch(o, *corpus) : whole_sequences(o);
  for (const auto& replicas : deal(batch, static_cast<int>(plan.ranks / plan.sequence_ranks), o.train.micro_tokens))
    for (const std::vector<Sample>& samples : replicas) {
      std::vector<int64_t> lengths;
      for (const Sample& sample : samples) lengths.push_back(sample.length);
      check_positions(sum(lengths));
      plan.streams.push_back(std::move(lengths));
    }
  plan.counted = o.data.task == "mlm" ? o.data.mask_share : corpus != nullptr ? share_counted(o, *corpus, batch) : 1;
  plan.probes = static_cast<double>(o.sketch.probes);
  plan.phi = expected_phi(plan);
  return plan;
}

double expected_phi(const PlanCase& plan) {
  const AttentionSettings& s = plan.shape.attention;
  if (plan.sequence_ranks == 1 || plan.shape.num_sketches() == 0) return 0;
  const double block = plan.query_block, lists = static_cast<double>(s.pick_heads) / s.kv_heads,
               longest =
                   static_cast<double>(*std::max_element(plan.largest_stream().begin(), plan.largest_stream().end())),
               share = s.share_rows == 0 ? longest : static_cast<double>(s.share_rows);
  const double wanted = static_cast<double>(s.picks) * lists * (share > block ? 2 : 1);
  const double visible = s.visibility.causal ? 0.5 : 1.0;
  return visible * (1 - std::exp(-wanted / (static_cast<double>(plan.sequence_ranks) * std::max(block, share))));
}

ParameterCounts count_parameters(const ModelShape& s) {
  ParameterCounts out;
  const auto padded = [](int64_t count) { return (count + 15) / 16 * 16; };
  const int64_t c = s.width, q = s.heads * s.head_width, kv = s.kv_heads * s.head_width, f = s.mlp_width;
  out.model = padded(s.vocabulary * c) * (s.tie_embeddings ? 1 : 2) + padded(c);
  out.model += s.layers * (2 * padded(c) + 2 * padded(q * c) + 2 * padded(kv * c) + 3 * padded(f * c));
  if (s.classes > 0) {
    const int64_t pooled = pooled_width(s);
    out.model += padded(s.classes * pooled) + padded(s.classes) + padded(pooled) + padded(pooled * pooled);
    if (s.pooling == Pooling::Attention) out.model += padded(c);
  }
  const int64_t inner = s.sketch_inner, width = s.sketch_width;
  out.sketch = s.num_sketches() * (padded(inner * c) + padded(inner) + padded(s.sketch_taps * inner) +
                                   2 * padded(width * inner) + padded(1));
  return out;
}

PairCounts count_pairs(const PlanCase& plan) {
  PairCounts out;
  const AttentionSettings& s = plan.shape.attention;
  double visits = 0;  // Σ over blocks of rows x keys that any of them sees
  for (const auto& stream : plan.streams) {
    for (int64_t length : stream) {
      for (int64_t begin = 0; begin < length; begin += plan.query_block) {
        const Layout::Block block{0, begin / plan.query_block, begin, std::min(begin + plan.query_block, length)};
        kernels::ScanBlock domain;
        set_domain(domain, s.visibility, s.window, block, plan.query_block, length);
        const int64_t size = kernels::domain_size(domain, s.global_positions), rows = block.end - block.begin;
        out.scan += static_cast<double>(size);
        const int64_t picks = std::min(size, s.draw == kernels::DrawMode::None ? 0 : s.picks);
        out.picks += static_cast<double>(rows * picks), out.listed += static_cast<double>(picks);
        for (int64_t i = block.begin; i < block.end; ++i) {
          const Span band = band_of(Pattern::Sparse, s.visibility, s.window, i, block, plan.query_block, length);
          out.band += static_cast<double>(band.end - band.begin);
          out.dense += static_cast<double>(s.visibility.end(i, length));
        }
        visits += static_cast<double>(rows * s.visibility.end(block.end - 1, length));
        ++out.blocks;
      }
      out.tokens += length;
    }
  }
  if (out.blocks > 0) out.probes = visits * std::min(1.0, plan.probes / static_cast<double>(out.blocks));
  return out;
}

}  // namespace smartbird
