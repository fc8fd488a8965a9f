// From a checkpoint's folder to a model and a corpus that fit.
#include "train/evaluate_checkpoint.h"

#include "config/rules.h"
#include "core/error.h"

namespace smartbird {

// A model that was trained densely has no sketch, and draws that ask none can do without; one that was trained with a
// sketch can be evaluated without a sparse layer.
static void load_all_but_unused(const std::string& folder, const Options& o, const ModelShape& shape,
                                Parameters& parameters) {
  const bool asks = draws_from_sketch(o) && shape.num_sketches() > 0;
  const MissingWeights missing = asks ? MissingWeights::Refuse : MissingWeights::Keep;
  for (const std::string& name : load_weights(folder, parameters, missing))
    SB_CHECK(name.starts_with("sketch."), Data, folder, "/model.safetensors: no tensor '", name, "'");
}

OpenedCheckpoint open_checkpoint(const World& world, const std::string& folder, const Options& o, at::Device device) {
  set_threads(world, o.run.threads);
  set_products(world, o);
  const CheckpointMeta meta = read_checkpoint_meta(folder);
  const std::string key = o.data.test.empty() ? "data.valid" : "data.test";
  const auto& sources = o.data.test.empty() ? o.data.valid : o.data.test;
  SB_CHECK(!sources.empty(), Config, "evaluate: neither data.test nor data.valid is given; add --data.test=PATH");
  OpenedCheckpoint out{.corpus = open_corpus(key, sources, evaluation_data(o), meta.classes, meta.tokenizer_json),
                       .model = nullptr};
  check_same_data(world, key, *out.corpus);
  check_tokenizer(*out.corpus, meta, key);
  check_evaluation(o, *out.corpus, key);
  out.model = std::make_unique<Transformer>(
      make_shape(o, out.corpus->tokenizer().vocabulary(), static_cast<int64_t>(meta.classes.size())),
      weights_of(o, device), static_cast<uint64_t>(o.run.seed));
  load_all_but_unused(folder, o, out.model->shape(), out.model->parameters());
  return out;
}

}  // namespace smartbird
