// Opening data, finding checkpoints, checking that a resume is the same run.
#include "train/setup.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "core/error.h"
#include "ops/tensors.h"

namespace smartbird {
namespace {

bool may_change(const std::string& name, const std::vector<std::string>& allowed) {
  for (const char* section : {"parallel.", "exchange.", "memory.", "run.", "checkpoint.", "eval.", "init."})
    if (name.rfind(section, 0) == 0 && name != "run.seed" && name != "run.dtype") return true;
  return name == "train.steps" || name == "train.stop_after" ||
         std::find(allowed.begin(), allowed.end(), name) != allowed.end();
}

void warn(const World& world, const std::vector<std::string>& warnings) {
  if (!world.is_root()) return;
  for (const std::string& warning : warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
}

}  // namespace

DataOptions evaluation_data(const Options& o) {
  DataOptions data = o.data;
  if (o.eval.sequence_tokens > 0) data.sequence_tokens = o.eval.sequence_tokens;
  return data;
}

Corpora open_corpora(const Options& o, const std::vector<std::string>& classes) {
  SB_CHECK(!o.data.train.empty(), Config,
           "data.train is empty; give --data.train=PATH (shards or text files, folders, globs)");
  Corpora out;
  out.train = open_corpus("data.train", o.data.train, o.data, classes);
  if (!o.data.valid.empty())
    out.valid = open_corpus("data.valid", o.data.valid, evaluation_data(o), out.train->classes());
  if (!o.data.test.empty()) out.test = open_corpus("data.test", o.data.test, evaluation_data(o), out.train->classes());
  for (const auto& [key, corpus] : {std::pair{"data.valid", &out.valid}, std::pair{"data.test", &out.test}})
    SB_CHECK(!*corpus || (*corpus)->tokenizer().to_json() == out.train->tokenizer().to_json(), Data, key,
             " has another tokenizer than data.train; write its shards with the tokenizer of data.train");
  return out;
}

std::vector<std::string> classes_of_checkpoint(const Options& o) {
  SB_CHECK(!o.init.checkpoint.empty(), Config,
           "finetune: init.checkpoint is empty; give --init.checkpoint=DIR (a run or checkpoint folder)");
  std::vector<std::string> warnings;
  const std::string folder = find_checkpoint(o.init.checkpoint, warnings);
  SB_CHECK(!folder.empty(), Data, "init.checkpoint = ", o.init.checkpoint, ": no complete checkpoint there");
  return read_checkpoint_meta(folder).classes;
}

std::string checkpoint_to_resume(const World& world, const Options& o) {
  std::vector<std::string> warnings;
  std::string folder;
  if (o.run.resume == "none") {
    const std::string present = find_checkpoint(o.run.dir, warnings);
    SB_CHECK(present.empty(), Config, "run.dir = ", o.run.dir, " already holds ", present,
             "; go on with --run.resume=auto or choose another run.dir");
    world.everyone().barrier();
    return "";
  }
  folder = find_checkpoint(o.run.resume == "auto" ? o.run.dir : o.run.resume, warnings);
  SB_CHECK(!folder.empty() || o.run.resume == "auto", Data, "run.resume = ", o.run.resume,
           ": no complete checkpoint there");
  warn(world, warnings);
  world.everyone().barrier();  // nobody writes into the run folder before all have looked
  return folder;
}

void check_resume(const std::string& folder, const ParsedOptions& options) {
  const Options before = parse_options({"--config", folder + "/config.ini"}, nullptr).options;
  std::string changed;
  for (const std::string& name : changed_names(before, options.options))
    if (!may_change(name, options.options.run.allow_change)) changed += (changed.empty() ? "" : ", ") + name;
  SB_CHECK(changed.empty(), Config, "run.resume: ", changed, " differ from the run in ", folder,
           "; set them back, or list them in --run.allow_change to change them on purpose");
}

std::vector<std::string> load_initial_weights(const World& world, const Options& o, Parameters& parameters) {
  std::vector<std::string> warnings;
  const std::string folder = find_checkpoint(o.init.checkpoint, warnings);
  warn(world, warnings);
  const std::vector<std::string> fresh = load_weights(folder, parameters, MissingWeights::Keep);
  if (!world.is_root()) return fresh;
  std::printf("weights from %s", folder.c_str());
  for (const std::string& name : fresh) std::printf("; new: %s", name.c_str());
  std::printf("\n");
  return fresh;
}

void check_tokenizer(const Corpus& corpus, const CheckpointMeta& meta, const std::string& key) {
  SB_CHECK(corpus.tokenizer().to_json() == meta.tokenizer_json, Data, key,
           " has another tokenizer than the checkpoint");
}

void set_threads(const World& world, int64_t threads) {
  if (threads == 0 && std::getenv("OMP_NUM_THREADS") == nullptr)
    threads =
        std::max<int64_t>(1, std::thread::hardware_concurrency() / static_cast<unsigned>(world.everyone().size()));
  if (threads <= 0) return;
  at::set_num_threads(static_cast<int>(threads));
  omp_set_num_threads(static_cast<int>(threads));
}

std::string banner(const World& world, const Options& o, const Transformer& model, const Corpora& data) {
  const Parameters& p = model.parameters();
  return join("model: ", p.sketch_begin(), " parameters + ", p.size() - p.sketch_begin(),
              " of the sketch; ranks: ", world.everyone().size(), " (", world.num_replicas(), " replica(s) x ",
              world.sequence().size(), " sequence rank(s)); data: ", data.train->num_documents(), " documents, ",
              data.train->num_tokens(), " tokens; step: ", o.train.batch_tokens, " tokens; run folder: ", o.run.dir);
}

}  // namespace smartbird
