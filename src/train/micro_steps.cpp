// Dealing, layout and reading of a batch.
#include "train/micro_steps.h"

namespace smartbird {
namespace {

Layout make_layout(const StepSetup& setup, const std::vector<Sample>& samples) {
  return Layout(sequences_of(samples), static_cast<int>(setup.options.attention.query_block),
                setup.world.sequence().size(),
                setup.options.parallel.layout == "zigzag" ? LayoutKind::Zigzag : LayoutKind::Contiguous);
}

// All rows see the whole prefix, so a row whose target lies in it would only copy: such targets do not count.
void drop_visible_targets(Stream& stream, int64_t prefix_tokens, const Tokenizer& tokenizer) {
  for (size_t i = 0; i < stream.target.size(); ++i) {
    if (stream.target[i] < 0 || stream.position[i] + 1 >= prefix_tokens) continue;
    --stream.counted;
    stream.target_bytes -= tokenizer.text_bytes(static_cast<int32_t>(stream.target[i]));
    stream.target[i] = -1;
  }
}

}  // namespace

std::vector<MicroStep> micro_steps_of(const StepSetup& setup, const Corpus& corpus, const std::vector<Sample>& batch,
                                      int64_t micro_tokens, PhiloxKey mask_key) {
  std::vector<MicroStep> out;
  for (const auto& replicas : deal(batch, setup.world.num_replicas(), micro_tokens)) {
    const std::vector<Sample>& samples = replicas[static_cast<size_t>(setup.world.replica())];
    Layout layout = make_layout(setup, samples);
    Stream stream = make_stream(corpus, layout, samples, setup.world.sequence().rank(), setup.task,
                                setup.options.data.mask_share, mask_key);
    drop_visible_targets(stream, setup.options.data.prefix_tokens, corpus.tokenizer());
    out.push_back({std::move(layout), std::move(stream)});
  }
  return out;
}

double count_targets(const StepSetup& setup, const std::vector<MicroStep>& micro_steps,
                     const std::vector<Sample>& batch) {
  if (setup.task == Task::Classify) return static_cast<double>(batch.size());
  int64_t counted = 0;
  for (const MicroStep& micro : micro_steps) counted += micro.stream.counted;
  return static_cast<double>(setup.world.everyone().reduce_value("counts", counted, ReduceOp::Sum));
}

}  // namespace smartbird
