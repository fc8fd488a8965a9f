// From a checkpoint's folder to the printed values of an evaluation.
#include <cstdio>

#include "config/rules.h"
#include "core/error.h"
#include "train/setup.h"
#include "train/step.h"
#include "train/trainer.h"

namespace smartbird {

// A model that was trained densely has no sketch, and draws that ask none can do without.
static void load_all_but_unused(const std::string& folder, const Options& o, Parameters& parameters) {
  const MissingWeights missing = draws_from_sketch(o) ? MissingWeights::Refuse : MissingWeights::Keep;
  for (const std::string& name : load_weights(folder, parameters, missing))
    SB_CHECK(name.starts_with("sketch."), Data, folder, "/model.safetensors: no tensor '", name, "'");
}

int evaluate_checkpoint(const World& world, const std::string& folder, const ParsedOptions& parsed, at::Device device) {
  const Options& o = parsed.options;
  set_threads(world, o.run.threads);
  const CheckpointMeta meta = read_checkpoint_meta(folder);
  const std::string key = o.data.test.empty() ? "data.valid" : "data.test";
  const auto& sources = o.data.test.empty() ? o.data.valid : o.data.test;
  SB_CHECK(!sources.empty(), Config, "evaluate: neither data.test nor data.valid is given; add --data.test=PATH");
  const auto corpus = open_corpus(key, sources, evaluation_data(o), meta.classes);
  check_same_data(world, key, *corpus);
  check_tokenizer(*corpus, meta, key);
  check_evaluation(o, *corpus, key);
  Transformer model(make_shape(o, corpus->tokenizer().vocabulary(), static_cast<int64_t>(meta.classes.size())),
                    weights_of(o, device), static_cast<uint64_t>(o.run.seed));
  load_all_but_unused(folder, o, model.parameters());
  const auto values = evaluate({world, model, o, task_from_name(o.data.task), link_of(world, o, device)}, *corpus);
  if (!world.is_root()) return 0;
  for (const auto& [name, value] : values) std::printf("%s: %.6g\n", name.c_str(), value);
  return 0;
}

}  // namespace smartbird
